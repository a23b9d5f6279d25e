"""A `tokenizer.json` as the `tokenizer.ggml.*` entries of a GGUF file."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from myna.catalog.conversion.folder import Json, ModelFolder
from myna.catalog.conversion.gguf_writer import Value
from myna.prompts.token_pieces import SPACE_MARK, TokenKind

MAX_TOKENS: Final = 1 << 20
_SPACE: Final = SPACE_MARK.decode()
_CONTINUED: Final = "##"


class TokenizerFile:
    """The parts of a `tokenizer.json` that all kinds of vocabulary need. Raises `ModelFileError`."""

    def __init__(self, folder: ModelFolder, num_tokens: int) -> None:
        self.folder = folder
        self.file = folder.json("tokenizer.json")
        self.model = self._object(self.file, "model")
        added = self.file.get("added_tokens", [])
        ids: dict[str, int] = self._ids(self._object(self.model, "vocab"), num_tokens)
        self.kinds = np.full(num_tokens, TokenKind.UNUSED, np.int32)
        self.kinds[list(ids.values())] = TokenKind.NORMAL
        for token in added if isinstance(added, list) else []:
            text, number = token.get("content"), token.get("id")
            if isinstance(text, str) and isinstance(number, int) and 0 <= number < num_tokens:
                ids[text] = number
                self.kinds[number] = TokenKind.CONTROL if token.get("special") else TokenKind.USER_DEFINED
        self.ids = ids
        self.texts = [f"[PAD{number}]" for number in range(num_tokens)]
        for text, number in ids.items():
            self.texts[number] = text

    def special(self, names: Mapping[str, str]) -> dict[str, Value]:
        """The ids of special tokens: `names` are GGUF's names by those of `tokenizer_config.json`."""
        config = self.folder.json("tokenizer_config.json") or self.folder.json("special_tokens_map.json")
        found: dict[str, Value] = {}
        for ours, theirs in names.items():
            text = config.get(theirs)
            text = text.get("content") if isinstance(text, dict) else text
            if isinstance(text, str) and text in self.ids:
                found[f"tokenizer.ggml.{ours}_token_id"] = self.ids[text]
        return found

    def merges(self) -> Iterable[tuple[str, str]]:
        """The pairs of a byte-pair vocabulary, in either of their two notations."""
        merges = self.model.get("merges")
        for pair in merges if isinstance(merges, list) else ():
            parts = pair.split(" ") if isinstance(pair, str) else pair
            if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(p, str) for p in parts):
                raise self.folder.error("tokenizer.json has a damaged merge")
            yield parts[0], parts[1]

    def expect(self, kind: str) -> None:
        if self.model.get("type", kind) != kind:
            raise self.folder.error(f"its tokenizer is a {self.model.get('type')} one, not {kind}")

    def _ids(self, vocabulary: Json, num_tokens: int) -> dict[str, int]:
        if num_tokens > MAX_TOKENS or len(vocabulary) > MAX_TOKENS:
            raise self.folder.error(f"its vocabulary has more than {MAX_TOKENS} tokens")
        ids = {text: number for text, number in vocabulary.items() if isinstance(number, int)}
        if len(ids) != len(vocabulary) or not all(0 <= number < num_tokens for number in ids.values()):
            raise self.folder.error(f"tokenizer.json has tokens beyond the {num_tokens} that have weights")
        return ids

    def _object(self, value: Json, key: str) -> Any:
        found = value.get(key)
        if not isinstance(found, dict):
            raise self.folder.error(f"tokenizer.json is missing, or has no {key!r}")
        return found


def wordpiece(folder: ModelFolder, num_tokens: int) -> dict[str, Value]:
    """BERT's: parts of a word that aren't its first begin with `##`; GGUF marks those that are, with a space."""
    tokenizer = TokenizerFile(folder, num_tokens)
    tokenizer.expect("WordPiece")
    texts, kinds = tokenizer.texts, tokenizer.kinds
    for number in np.flatnonzero(kinds == TokenKind.NORMAL):
        text = texts[number]
        texts[number] = text[len(_CONTINUED) :] if text.startswith(_CONTINUED) else _SPACE + text
    unknown = tokenizer.ids.get(str(tokenizer.model.get("unk_token", "[UNK]")))
    if unknown is not None:
        kinds[unknown] = TokenKind.UNKNOWN
    special = {
        "bos": "cls_token",
        "eos": "sep_token",
        "cls": "cls_token",
        "seperator": "sep_token",  # sic
        "unknown": "unk_token",
        "padding": "pad_token",
        "mask": "mask_token",
    }
    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "bert-bge",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": kinds,
        **_normalization(tokenizer),
        **tokenizer.special(special),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
    }


def _normalization(tokenizer: TokenizerFile) -> dict[str, Value]:
    rules = tokenizer.file.get("normalizer")
    if not isinstance(rules, dict) or rules.get("type") != "BertNormalizer":
        raise tokenizer.folder.error("its tokenizer doesn't normalize text as BERT does")
    lowercases = bool(rules.get("lowercase", True))
    accents = rules.get("strip_accents")
    return {
        "tokenizer.ggml.normalizer.lowercase": lowercases,
        "tokenizer.ggml.normalizer.strip_accents": lowercases if accents is None else bool(accents),
    }


def sentencepiece(folder: ModelFolder, num_tokens: int) -> dict[str, Value]:
    """SentencePiece's byte pairs with single bytes for what has no token, as Gemma has: the earlier a pair is
    merged, the higher the score of what it becomes."""
    tokenizer = TokenizerFile(folder, num_tokens)
    tokenizer.expect("BPE")
    if not tokenizer.model.get("byte_fallback"):
        raise folder.error("its tokenizer has no byte tokens to fall back on")
    scores = np.full(num_tokens, -float(MAX_TOKENS * 4), np.float32)
    rank = 0
    for first, second in tokenizer.merges():
        number = tokenizer.ids.get(first + second)
        if number is not None and scores[number] == -MAX_TOKENS * 4:
            scores[number] = -rank
            rank += 1
    kinds = tokenizer.kinds
    for byte in range(256):
        if (number := tokenizer.ids.get(f"<0x{byte:02X}>")) is not None:
            kinds[number] = TokenKind.BYTE
    unknown = tokenizer.ids.get(str(tokenizer.model.get("unk_token", "<unk>")))
    if unknown is not None:
        kinds[unknown] = TokenKind.UNKNOWN
    special = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokenizer.texts,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": kinds,
        **tokenizer.special(special),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
    }


def byte_level(pre_tokenizer: str, folder: ModelFolder, num_tokens: int) -> dict[str, Value]:
    """GPT-2's byte pairs. The name of the rule that cuts texts into words is the architecture's, since files
    only hold the rule itself."""
    tokenizer = TokenizerFile(folder, num_tokens)
    tokenizer.expect("BPE")
    special = {"bos": "bos_token", "eos": "eos_token", "padding": "pad_token"}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre_tokenizer,
        "tokenizer.ggml.tokens": tokenizer.texts,
        "tokenizer.ggml.token_type": tokenizer.kinds,
        "tokenizer.ggml.merges": [f"{first} {second}" for first, second in tokenizer.merges()],
        **tokenizer.special(special),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": True,
    }

"""A `tokenizer.json` as the `tokenizer.ggml.*` entries of a GGUF file."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import numpy as np

from myna.catalog.conversion.folder import ModelFolder
from myna.catalog.conversion.gguf_writer import Value
from myna.prompts.token_pieces import SPACE_MARK, TokenKind

MAX_TOKENS: Final = 1 << 20
_SPACE: Final = SPACE_MARK.decode()
_CONTINUED: Final = "##"


class _Added(msgspec.Struct):
    id: int
    content: str
    special: bool = False


class _Model(msgspec.Struct):
    vocab: msgspec.Raw
    type: str | None = None
    merges: list[str | tuple[str, str]] = []
    unk_token: str | None = None
    byte_fallback: bool | None = None


class _Normalizer(msgspec.Struct):
    type: str
    lowercase: bool | None = None
    strip_accents: bool | None = None


class _File(msgspec.Struct):
    model: _Model
    added_tokens: list[_Added] = []
    normalizer: _Normalizer | None = None


class TokenizerFile:
    """The parts of a `tokenizer.json` that all kinds of vocabulary need. Raises `ModelFileError`."""

    def __init__(self, folder: ModelFolder, kind: str, num_tokens: int) -> None:
        self.folder = folder
        file = folder.decoded("tokenizer.json", _File)
        if file is None:
            raise folder.error("it has no tokenizer.json")
        if file.model.type not in (None, kind):
            raise folder.error(f"its tokenizer is a {file.model.type[:40]} one, not {kind}")
        self.model, self.normalizer = file.model, file.normalizer
        self.ids: dict[str, int] = folder.decode("tokenizer.json", file.model.vocab, dict[str, int])
        if num_tokens > MAX_TOKENS or not all(0 <= number < num_tokens for number in self.ids.values()):
            raise folder.error(f"tokenizer.json has tokens beyond the {num_tokens} that have weights")
        self.kinds = np.full(num_tokens, TokenKind.UNUSED, np.int32)
        self.kinds[list(self.ids.values())] = TokenKind.NORMAL
        for token in file.added_tokens:
            if 0 <= token.id < num_tokens:
                self.ids[token.content] = token.id
                self.kinds[token.id] = TokenKind.CONTROL if token.special else TokenKind.USER_DEFINED
        self.texts = [f"[PAD{number}]" for number in range(num_tokens)]
        for text, number in self.ids.items():
            self.texts[number] = text

    def set_unknown(self) -> None:
        """Mark the token of what has no other."""
        if (number := self.ids.get(self.model.unk_token or "")) is not None:
            self.kinds[number] = TokenKind.UNKNOWN

    def special(self, names: Mapping[str, str]) -> dict[str, Value]:
        """The ids of special tokens: GGUF's names to those of `tokenizer_config.json`."""
        config = self.folder.json("tokenizer_config.json") or self.folder.json("special_tokens_map.json")
        found: dict[str, Value] = {}
        for ours, theirs in names.items():
            text = config.get(theirs)
            text = text.get("content") if isinstance(text, dict) else text
            if isinstance(text, str) and text in self.ids:
                found[f"tokenizer.ggml.{ours}_token_id"] = self.ids[text]
        return found

    def merges(self) -> Iterator[tuple[str, str]]:
        """The pairs of a byte-pair vocabulary, in either of their two notations."""
        for pair in self.model.merges:
            parts = tuple(pair.split(" ", 1)) if isinstance(pair, str) else pair
            if len(parts) != 2:
                raise self.folder.error("tokenizer.json has a merge that isn't of two tokens")
            yield parts


def wordpiece(folder: ModelFolder, num_tokens: int) -> dict[str, Value]:
    """BERT's: a word's parts begin with `##` unless they are its first, which GGUF marks with a space."""
    tokenizer = TokenizerFile(folder, "WordPiece", num_tokens)
    texts, kinds = tokenizer.texts, tokenizer.kinds
    for number in np.flatnonzero(kinds == TokenKind.NORMAL):
        text = texts[number]
        texts[number] = text[len(_CONTINUED) :] if text.startswith(_CONTINUED) else _SPACE + text
    tokenizer.set_unknown()
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
    rules = tokenizer.normalizer
    if rules is None or rules.type != "BertNormalizer":
        raise tokenizer.folder.error("its tokenizer doesn't normalize text as BERT does")
    lowercases = rules.lowercase is not False
    return {
        "tokenizer.ggml.normalizer.lowercase": lowercases,
        "tokenizer.ggml.normalizer.strip_accents": lowercases
        if rules.strip_accents is None
        else rules.strip_accents,
    }


def sentencepiece(folder: ModelFolder, num_tokens: int) -> dict[str, Value]:
    """SentencePiece's byte pairs with single bytes for what has no token, as Gemma has: the earlier a pair is
    merged, the higher the score of what it becomes."""
    tokenizer = TokenizerFile(folder, "BPE", num_tokens)
    if not tokenizer.model.byte_fallback:
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
    tokenizer.set_unknown()
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
    tokenizer = TokenizerFile(folder, "BPE", num_tokens)
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

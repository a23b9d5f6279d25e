"""A `tokenizer.json` as the `tokenizer.ggml.*` entries of a GGUF file."""

import base64
from typing import Final

import numpy as np

from myna.catalog.conversion.folder import ModelFolder
from myna.catalog.conversion.gguf_writer import Value
from myna.prompts.token_pieces import SPACE_MARK, TokenKind
from myna.prompts.tokenizer_file import MAX_TOKENS, TokenizerFile, kind_of_model

_SPACE: Final = SPACE_MARK.decode()
_CONTINUED: Final = "##"


def wordpiece_or_unigram(folder: ModelFolder, num_tokens: int) -> dict[str, Value]:
    """BERT's own vocabulary, or XLM-RoBERTa's, which multilingual models of either kind have."""
    convert = unigram if kind_of_model(folder) == "Unigram" else wordpiece
    return convert(folder, num_tokens)


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


def unigram(folder: ModelFolder, num_tokens: int) -> dict[str, Value]:
    """SentencePiece's most likely tokens, as XLM-RoBERTa has: words are separated by single spaces."""
    tokenizer = TokenizerFile(folder, "Unigram", num_tokens)
    cutter = tokenizer.pre_tokenizer
    steps = [cutter, *cutter.pretokenizers] if cutter else []
    if not any(step.type == "Metaspace" for step in steps):
        raise folder.error("its tokenizer doesn't mark spaces as SentencePiece does")
    tokenizer.set_unknown()
    special = {
        "bos": "bos_token",
        "eos": "eos_token",
        "seperator": "sep_token",  # sic
        "unknown": "unk_token",
        "padding": "pad_token",
        "mask": "mask_token",
    }
    return {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokenizer.texts,
        "tokenizer.ggml.scores": tokenizer.scores,
        "tokenizer.ggml.token_type": tokenizer.kinds,
        **_table_of_characters(tokenizer),
        **tokenizer.special(special),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": True,
    }


def _table_of_characters(tokenizer: TokenizerFile) -> dict[str, Value]:
    """SentencePiece's compiled table of replacements."""
    rules = tokenizer.normalizer
    steps = [rules, *rules.normalizers] if rules else []
    for step in steps:
        if step.type not in ("Sequence", "Precompiled", "Replace", "Strip"):
            raise tokenizer.folder.error(f"its tokenizer normalizes text by {step.type[:40]}")
    encoded = next((step.precompiled_charsmap for step in steps if step.type == "Precompiled"), None)
    try:
        table = base64.b64decode(encoded or "", validate=True)
    except ValueError:
        table = b""
    if not table:
        raise tokenizer.folder.error("tokenizer.json has no table of characters, or a damaged one")
    return {"tokenizer.ggml.precompiled_charsmap": np.frombuffer(table, np.uint8)}


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

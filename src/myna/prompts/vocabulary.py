"""A model's vocabulary: exact bytes, kinds and special tokens. Used by the server and by workers.

Owns the meaning of the `tokenizer.ggml.*` entries; does not tokenize.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from myna.core.errors import ModelFileError
from myna.core.translatable import N_
from myna.prompts.gguf import Header, read_header
from myna.prompts.normalization import Normalization, Stripping, find_stripping
from myna.prompts.pretokenizers import PRE_TOKENIZERS
from myna.prompts.special_tokens import (
    ALWAYS_VISIBLE_TEXTS,
    END_OF_GENERATION_TEXTS,
    END_OF_MESSAGE_TEXTS,
    END_OF_TURN_TEXTS,
    FILL_TEXTS,
    NORMAL_S_MARKERS,
)
from myna.prompts.token_pieces import Kind, TokenKind, token_pieces, tokens_of

MAX_TOKENS: Final = 1 << 20
MAX_SPECIAL_BYTES: Final = 256
MAX_SPECIAL_BYTES_TOTAL: Final = 2 << 20
_SPECIAL: Final = (TokenKind.CONTROL, TokenKind.USER_DEFINED, TokenKind.UNKNOWN)
_MODELS: Final[dict[str, Kind]] = {
    "gpt2": "bpe",
    "gemma4": "bpe",
    "llama": "spm",
    "bert": "wordpiece",
    "t5": "unigram",
    "rwkv": "rwkv",
    "plamo2": "plamo2",
}
# Models whose BOS, EOS and unknown token have these ids, unless the file names others.
_SPECIAL_IDS: Final[dict[str, tuple[int | None, int | None, int | None]]] = {
    "gpt2": (11, 11, None),
    "llama": (1, 2, 0),
    "bert": (101, None, 100),
    "t5": (None, 1, 2),
    "plamo2": (1, 2, 0),
}


@dataclass(frozen=True, slots=True)
class FillTokens:
    """Token ids for fill-in-the-middle, None if the model lacks one."""

    prefix: int | None = None
    suffix: int | None = None
    middle: int | None = None
    pad: int | None = None
    repository: int | None = None
    file_separator: int | None = None

    @property
    def is_complete(self) -> bool:
        return None not in (self.prefix, self.suffix, self.middle)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All tokens of a model.

    `texts` are the tokens as stored, `pieces` the bytes that they represent (for a control token, its name).
    `kinds` holds one `TokenKind` per token. `eog` tokens end a generation."""

    model: Kind
    pre_tokenizer: str
    texts: list[bytes]
    pieces: tuple[bytes, ...]
    kinds: bytes
    scores: tuple[float, ...]
    merges: list[bytes]
    bos: int | None
    eos: int | None
    eot: int | None
    unknown: int | None
    eog: frozenset[int]
    fill: FillTokens
    adds_bos: bool
    adds_eos: bool
    adds_space_prefix: bool
    stripping: Stripping
    normalization: Normalization

    @classmethod
    def read(cls, path: str | Path) -> "Vocabulary":
        """The vocabulary of the GGUF file at `path`. Raises `ModelFileError`."""
        return cls.of(read_header(path))

    @classmethod
    def of(cls, header: Header) -> "Vocabulary":
        return _Builder(header).build()

    def __len__(self) -> int:
        return len(self.texts)

    def kind(self, token: int) -> TokenKind:
        return TokenKind(self.kinds[token])

    def is_control(self, token: int) -> bool:
        return self.kinds[token] in (TokenKind.CONTROL, TokenKind.UNKNOWN)

    @property
    def special_ids(self) -> list[int]:
        """Tokens that are matched as a whole in text: control, user-defined and unknown ones, in order of
        id."""
        return tokens_of(self.kinds, *_SPECIAL)


class _Builder:
    """Interprets the entries as llama.cpp does, since converters test against it."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._name = header.string("tokenizer.ggml.model")
        if self._name not in _MODELS:
            raise self._error(
                f"its tokenizer model {self._name!r} is not supported; choose another model, or a newer Myna"
            )
        self._model = _MODELS[self._name]
        pre = "gemma4" if self._name == "gemma4" else header.string("tokenizer.ggml.pre", "")
        self._pre = pre or "default"
        self._rule = PRE_TOKENIZERS.get(self._pre) if self._model == "bpe" else None
        self._texts = self._read_texts()
        self._ids = dict(zip(self._texts, range(len(self._texts)), strict=True))
        if len(self._ids) != len(self._texts):
            raise self._error("two of its tokens have the same text")
        self._kinds = self._read_kinds()

    def build(self) -> Vocabulary:
        bos_id, eos_id, unknown_id = _SPECIAL_IDS.get(self._name, (None, None, None))
        eos = self._special("eos", eos_id)
        bos = self._special("bos", bos_id)
        if self._pre in ("chatglm-bpe", "glm4", "glm5") and not self._has("bos"):
            bos = None
        eot = self._by_key_or_text("eot", (), END_OF_TURN_TEXTS)
        eom = self._by_key_or_text("eom", (), END_OF_MESSAGE_TEXTS)
        fill = self._fill()
        eog = self._end_of_generation(eos, eot, eom, fill)
        special = tokens_of(self._kinds, *_SPECIAL)
        self._check_special(special)
        adds_bos, adds_eos = self._adds()
        if (adds_bos and bos is None) or (adds_eos and eos is None):
            raise self._error("it uses a begin or end token that its vocabulary lacks")
        is_spm = self._model == "spm"
        adds_space = self._header.boolean("tokenizer.ggml.add_space_prefix", is_spm)
        return Vocabulary(
            model=self._model,
            pre_tokenizer=self._pre,
            texts=self._texts,
            pieces=self._pieces(),
            kinds=bytes(self._kinds),
            scores=self._scores(),
            # Kimi K2's files may come without any.
            merges=self._header.strings(
                "tokenizer.ggml.merges",
                None if self._model == "bpe" and self._pre != "kimi-k2" else [],
            ),
            bos=bos,
            eos=eos,
            eot=eot,
            unknown=self._special("unknown", unknown_id),
            eog=eog,
            fill=fill,
            adds_bos=adds_bos,
            adds_eos=adds_eos,
            adds_space_prefix=adds_space and self._model in ("spm", "unigram"),
            stripping=find_stripping(self._header, self._pre, self._ids, special),
            normalization=Normalization.of(self._header),
        )

    def _fill(self) -> FillTokens:
        return FillTokens(
            **{name: self._by_key_or_text(key, old, texts) for name, (key, old, texts) in FILL_TEXTS.items()}
        )

    def _adds(self) -> tuple[bool, bool]:
        """Whether texts begin with BOS and end with EOS."""
        by_rule = self._rule is not None and self._rule.adds_bos
        bos = self._model in ("spm", "wordpiece") or by_rule
        adds_bos = self._header.boolean("tokenizer.ggml.add_bos_token", bos)
        adds_eos = self._header.boolean("tokenizer.ggml.add_eos_token", self._model == "unigram")
        # Files of Gemma 4 say that it doesn't, and are wrong.
        return adds_bos or (self._rule is not None and self._rule.keeps_line_breaks), adds_eos

    def _read_texts(self) -> list[bytes]:
        texts = self._header.strings("tokenizer.ggml.tokens")
        if not 1 <= len(texts) <= MAX_TOKENS:
            raise self._error(f"its vocabulary has {len(texts)} tokens")
        if b"" in texts:
            texts = [text or b"[EMPTY_%d]" % token for token, text in enumerate(texts)]
        return texts

    def _read_kinds(self) -> bytearray:
        raw = self._header.metadata.get("tokenizer.ggml.token_type")
        if raw is None:
            return bytearray([TokenKind.NORMAL]) * len(self._texts)
        if not isinstance(raw, np.ndarray) or raw.dtype != np.int32 or len(raw) < len(self._texts):
            raise self._error("tokenizer.ggml.token_type should hold one int32 per token")
        kinds = raw[: len(self._texts)].astype(np.int32)
        kinds[(kinds < 0) | (kinds > max(TokenKind))] = TokenKind.UNDEFINED
        return bytearray(kinds.astype(np.uint8).tobytes())

    def _scores(self) -> tuple[float, ...]:
        raw = self._header.metadata.get("tokenizer.ggml.scores")
        if raw is None:
            return ()
        if not isinstance(raw, np.ndarray) or raw.dtype.kind not in "fi" or len(raw) < len(self._texts):
            raise self._error("tokenizer.ggml.scores should hold one number per token")
        scores = raw[: len(self._texts)].astype(np.float32)
        if np.isnan(scores).any():
            raise self._error("tokenizer.ggml.scores contains NaN")
        return tuple(scores.tolist())

    def _pieces(self) -> tuple[bytes, ...]:
        is_byte_level = self._model == "bpe" and (self._rule is None or not self._rule.marks_spaces)
        try:
            return token_pieces(self._model, self._texts, self._kinds, is_byte_level=is_byte_level)
        except ValueError as exc:
            raise self._error(f"it has the invalid byte token {exc}") from None

    def _has(self, name: str) -> bool:
        return f"tokenizer.ggml.{name}_token_id" in self._header.metadata

    def _special(self, name: str, default: int | None) -> int | None:
        size = len(self._texts)
        if default is not None and default >= size:
            default = None
        if not self._has(name):
            return default
        token = self._header.integer(f"tokenizer.ggml.{name}_token_id")
        return token if 0 <= token < size else default

    def _by_key_or_text(self, key: str, old_keys: tuple[str, ...], texts: tuple[bytes, ...]) -> int | None:
        """The token named by metadata, or else the first of `texts` in the vocabulary, which becomes a
        control token."""
        for name in (*old_keys, key):
            token = self._special(name, None)
            if token is not None:
                return token
        for text in texts:
            token = self._ids.get(text)
            if token is not None:
                self._kinds[token] = TokenKind.CONTROL
                return token
        return None

    def _end_of_generation(
        self, eos: int | None, eot: int | None, eom: int | None, fill: FillTokens
    ) -> frozenset[int]:
        eog = {token for token in (fill.pad, fill.repository, fill.file_separator) if token is not None}
        for text in END_OF_GENERATION_TEXTS:
            token = self._ids.get(text)
            if token is not None:
                eog.add(token)
                self._kinds[token] = TokenKind.CONTROL
        for text in ALWAYS_VISIBLE_TEXTS:
            if (token := self._ids.get(text)) is not None:
                self._kinds[token] = TokenKind.USER_DEFINED
        eog.update(token for token in (eos, eot, eom) if token is not None)
        self._drop_misread_ends(eog)
        return frozenset(eog)

    def _drop_misread_ends(self, eog: set[int]) -> None:
        """Handle vocabularies in which a common end token is an ordinary part of the answer's format."""
        there: Mapping[bytes, int] = {self._texts[token]: token for token in eog}
        calls = b"<|call|>" in there or b"<|calls|>" in there
        if b"<|end|>" in there and calls and (b"<|return|>" in there or b"<|flush|>" in there):
            eog.discard(there[b"<|end|>"])
            self._kinds[there[b"<|end|>"]] = TokenKind.USER_DEFINED
        if b"</s>" in there and any(marker in there for marker in NORMAL_S_MARKERS):
            eog.discard(there[b"</s>"])
            self._kinds[there[b"</s>"]] = TokenKind.NORMAL

    def _check_special(self, special: Sequence[int]) -> None:
        """Limit special tokens, since every text is searched for them."""
        sizes = [len(self._texts[token]) for token in special]
        if max(sizes, default=0) > MAX_SPECIAL_BYTES or sum(sizes) > MAX_SPECIAL_BYTES_TOTAL:
            raise self._error("its special tokens are too long or too many")

    def _error(self, what: str) -> ModelFileError:
        return ModelFileError(
            N_("The model file {path} can't be used: {what}.", path=self._header.path, what=what)
        )

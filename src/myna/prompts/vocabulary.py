"""A model's vocabulary: exact bytes, kinds and special tokens. Used by the server and by workers.

Owns the meaning of the `tokenizer.ggml.*` entries; does not tokenize.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, Literal

import numpy as np

from myna.core.errors import ModelFileError
from myna.core.translatable import N_
from myna.prompts.gguf import Header, read_header
from myna.prompts.special_tokens import (
    ALWAYS_VISIBLE_TEXTS,
    END_OF_GENERATION_TEXTS,
    END_OF_MESSAGE_TEXTS,
    END_OF_TURN_TEXTS,
    FILL_TEXTS,
    NORMAL_S_MARKERS,
)

Kind = Literal["bpe", "spm"]

MAX_TOKENS: Final = 1 << 20
MAX_SPECIAL_BYTES: Final = 256
MAX_SPECIAL_BYTES_TOTAL: Final = 2 << 20
_SPACE: Final = "▁".encode()
_BYTE_LEVEL_MODELS: Final = frozenset({"gpt2"})
# Pre-tokenizers whose models begin every text with BOS by default.
_BOS_BY_PRE_TOKENIZER: Final = frozenset(
    (
        "llama3",
        "llama-v3",
        "llama-bpe",
        "falcon3",
        "falcon-h1",
        "pixtral",
        "midm-2.0",
        "lfm2",
        "jina-v5-nano",
        "tekken",
        "chameleon",
    )
)


class TokenKind(IntEnum):
    """The numbers used in `tokenizer.ggml.token_type`."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


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
    `kinds` holds one `TokenKind` per token. `eog` tokens end a generation.
    """

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
        special = (TokenKind.CONTROL, TokenKind.USER_DEFINED, TokenKind.UNKNOWN)
        return [token for token, kind in enumerate(self.kinds) if kind in special]


class _Builder:
    """Interprets the entries as llama.cpp does, since converters test against it."""

    def __init__(self, header: Header) -> None:
        self._header = header
        model = header.string("tokenizer.ggml.model")
        if model in _BYTE_LEVEL_MODELS:
            self._model: Kind = "bpe"
        elif model == "llama":
            self._model = "spm"
        else:
            raise self._error(f"its tokenizer model {model!r} is not supported")
        self._pre = header.string("tokenizer.ggml.pre", "default")
        self._texts = self._read_texts()
        self._ids = {text: token for token, text in enumerate(self._texts)}
        if len(self._ids) != len(self._texts):
            raise self._error("two of its tokens have the same text")
        self._kinds = self._read_kinds()

    def build(self) -> Vocabulary:
        is_spm = self._model == "spm"
        eos = self._special("eos", 2 if is_spm else 11)
        bos = self._special("bos", 1 if is_spm else 11)
        if self._pre in ("chatglm-bpe", "glm4", "glm5") and not self._has("bos"):
            bos = None
        eot = self._by_key_or_text("eot", (), END_OF_TURN_TEXTS)
        eom = self._by_key_or_text("eom", (), END_OF_MESSAGE_TEXTS)
        fill = FillTokens(
            **{name: self._by_key_or_text(key, old, texts) for name, (key, old, texts) in FILL_TEXTS.items()}
        )
        eog = self._end_of_generation(eos, eot, eom, fill)
        self._check_special()
        adds_bos = self._header.boolean(
            "tokenizer.ggml.add_bos_token", is_spm or self._pre in _BOS_BY_PRE_TOKENIZER
        )
        adds_eos = self._header.boolean("tokenizer.ggml.add_eos_token", False)
        if (adds_bos and bos is None) or (adds_eos and eos is None):
            raise self._error("it uses a begin or end token that its vocabulary lacks")
        return Vocabulary(
            model=self._model,
            pre_tokenizer=self._pre,
            texts=self._texts,
            pieces=self._pieces(),
            kinds=bytes(self._kinds),
            scores=self._scores(),
            merges=self._header.strings("tokenizer.ggml.merges", None if not is_spm else []),
            bos=bos,
            eos=eos,
            eot=eot,
            unknown=self._special("unknown", 0 if is_spm else None),
            eog=eog,
            fill=fill,
            adds_bos=adds_bos,
            adds_eos=adds_eos,
            adds_space_prefix=self._header.boolean("tokenizer.ggml.add_space_prefix", is_spm) and is_spm,
        )

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
        pieces = list(self._texts)
        kinds = self._kinds
        if self._model == "spm":
            for token, text in enumerate(pieces):
                if kinds[token] == TokenKind.NORMAL and _SPACE in text:
                    pieces[token] = text.replace(_SPACE, b" ")
        else:
            normal = [token for token, kind in enumerate(kinds) if kind == TokenKind.NORMAL]
            for token, piece in zip(normal, _byte_level([pieces[t] for t in normal]), strict=True):
                pieces[token] = piece
        for token, kind in enumerate(kinds):
            if kind == TokenKind.BYTE:
                pieces[token] = self._byte(pieces[token])
            elif kind in (TokenKind.UNUSED, TokenKind.UNDEFINED):
                pieces[token] = b""
        return tuple(pieces)

    def _byte(self, text: bytes) -> bytes:
        if len(text) == 6 and text.startswith(b"<0x") and text.endswith(b">"):
            try:
                return bytes.fromhex(text[3:5].decode("ascii"))
            except ValueError:
                pass
        raise self._error(f"it has the invalid byte token {text[:20]!r}")

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

    def _check_special(self) -> None:
        """Limit special tokens, since every text is searched for them."""
        sizes = [
            len(text)
            for text, kind in zip(self._texts, self._kinds, strict=True)
            if kind in (TokenKind.CONTROL, TokenKind.USER_DEFINED, TokenKind.UNKNOWN)
        ]
        if max(sizes, default=0) > MAX_SPECIAL_BYTES or sum(sizes) > MAX_SPECIAL_BYTES_TOTAL:
            raise self._error("its special tokens are too long or too many")

    def _error(self, what: str) -> ModelFileError:
        return ModelFileError(
            N_("The model file {path} can't be used: {what}.", path=self._header.path, what=what)
        )


def byte_alphabet() -> dict[int, str]:
    """The printable character that GPT-2's vocabulary uses for each byte."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(shown)]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def _byte_level(texts: list[bytes]) -> list[bytes]:
    """The bytes of tokens in GPT-2's alphabet; characters outside it become their UTF-8 bytes."""
    back = {ord(char): chr(byte) for byte, char in byte_alphabet().items()}
    # One translate for all tokens: a call per token would dominate the loading time.
    separator = "\n"
    whole = b"\n".join(texts)
    try:
        joined = whole.decode("utf-8")
        if whole.count(b"\n") == len(texts) - 1 and all(
            ord(c) in back or c == separator for c in set(joined)
        ):
            shifted = {code: chr(ord(char) + 256) for code, char in back.items()}
            wide = joined.translate(shifted).encode("utf-16-le")
            units = np.frombuffer(wide, "<u2")
            ends = np.flatnonzero(units == ord(separator)).tolist()
            flat = (units & 255).astype(np.uint8).tobytes()
            starts = [0, *(end + 1 for end in ends)]
            return [flat[a:b] for a, b in zip(starts, [*ends, len(flat)], strict=True)]
    except UnicodeDecodeError:
        pass
    return [_byte_level_one(text, back) for text in texts]


def _byte_level_one(text: bytes, back: Mapping[int, str]) -> bytes:
    out = bytearray()
    for char in text.decode("utf-8", "replace"):
        byte = back.get(ord(char))
        out += char.encode() if byte is None else bytes([ord(byte)])
    return bytes(out)

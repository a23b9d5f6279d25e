"""The bytes that each token of a vocabulary represents, by the vocabulary's kind."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, Literal

import numpy as np

from myna.prompts.string_arrays import IS_NATIVE

Kind = Literal["bpe", "spm", "wordpiece", "unigram", "rwkv", "plamo2"]

SPACE_MARK: Final = "▁".encode()
_ESCAPES: Final = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}
_LINE_BREAK: Final = ord("\n")
_NO_BYTE: Final = 0xFFFF
_ESCAPED: Final = re.compile(rb"\\(?:x([0-9a-f]{2})|(.))", re.DOTALL)


class TokenKind(IntEnum):
    """The numbers used in `tokenizer.ggml.token_type`."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


def token_pieces(
    model: Kind, texts: Sequence[bytes], kinds: bytes | bytearray, *, is_byte_level: bool
) -> tuple[bytes, ...]:
    """Raises `ValueError` with the text of an invalid byte token."""
    if model == "rwkv":
        return tuple(_unescaped(text) for text in texts)
    pieces = _byte_level_pieces(texts, kinds) if is_byte_level else list(texts)
    if model != "plamo2" and not is_byte_level:
        for token in tokens_of(kinds, TokenKind.NORMAL):
            if SPACE_MARK in texts[token]:
                pieces[token] = texts[token].replace(SPACE_MARK, b" ")
    for token in tokens_of(kinds, TokenKind.BYTE):
        pieces[token] = _byte(texts[token])
    if model != "plamo2":
        for token in tokens_of(kinds, TokenKind.UNUSED, TokenKind.UNDEFINED):
            pieces[token] = b""
    return tuple(pieces)


def tokens_of(kinds: bytes | bytearray, *wanted: TokenKind) -> list[int]:
    """The tokens of these kinds, in order of id; `kinds` holds one `TokenKind` per token."""
    found: list[int] = np.flatnonzero(np.isin(np.frombuffer(kinds, np.uint8), wanted)).tolist()
    return found


def byte_alphabet() -> dict[int, str]:
    """The printable character that GPT-2's vocabulary uses for each byte."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(shown)]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def _byte(text: bytes) -> bytes:
    if re.fullmatch(rb"<0x[0-9a-fA-F]{2}>", text):
        return bytes.fromhex(text[3:5].decode("ascii"))
    raise ValueError(f"{text[:20]!r}")


def _unescaped(text: bytes) -> bytes:
    """The bytes of a token that is written as a string literal."""

    def unescape(match: re.Match[bytes]) -> bytes:
        return bytes.fromhex(match[1].decode("ascii")) if match[1] else _ESCAPES.get(match[2], match[2])

    return _ESCAPED.sub(unescape, text)


def _byte_level_pieces(texts: Sequence[bytes], kinds: bytes | bytearray) -> list[bytes]:
    pieces = list(texts)
    if IS_NATIVE:
        from myna._native import byte_level_pieces

        found = byte_level_pieces(pieces, bytes(kinds))
        if found is not None:
            return found
    normal = tokens_of(kinds, TokenKind.NORMAL)
    for token, piece in zip(normal, _byte_level([texts[token] for token in normal]), strict=True):
        pieces[token] = piece
    return pieces


def _byte_level(texts: list[bytes]) -> list[bytes]:
    """The bytes of tokens in GPT-2's alphabet; characters outside it become their UTF-8 bytes."""
    back = {ord(char): byte for byte, char in byte_alphabet().items()}
    whole = b"\n".join(texts)  # one lookup for all tokens: one for each would dominate the loading time
    with contextlib.suppress(UnicodeDecodeError):
        units = np.frombuffer(whole.decode("utf-8").encode("utf-16-le"), "<u2")
        ends = np.flatnonzero(units == _LINE_BREAK)
        values = np.full(1 << 16, _NO_BYTE, np.uint16)
        values[list(back)] = list(back.values())
        values[_LINE_BREAK] = 0
        found = values[units]
        if len(ends) == len(texts) - 1 and not (found == _NO_BYTE).any():
            flat = found.astype(np.uint8).tobytes()
            starts = [0, *(ends + 1).tolist()]
            return [flat[a:b] for a, b in zip(starts, [*ends.tolist(), len(flat)], strict=True)]
    return [_byte_level_one(text, back) for text in texts]


def _byte_level_one(text: bytes, back: Mapping[int, int]) -> bytes:
    out = bytearray()
    for char in text.decode("utf-8", "replace"):
        byte = back.get(ord(char))
        out += char.encode() if byte is None else bytes([byte])
    return bytes(out)

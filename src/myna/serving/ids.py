"""Ids in OpenAI's shape: a prefix, the creation time in base 62, and chance."""

import hashlib
import secrets
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_EPOCH: Final = 1_576_800_000
_TIME_DIGITS: Final = 5
_LETTERS: Final = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))


def completion_id(prefix: str, created: int) -> str:
    """`chatcmpl-` or `cmpl-`, five digits of time, 24 of chance; ids sort by their second."""
    left, digits = created - _EPOCH, ""
    for _ in range(_TIME_DIGITS):
        left, digit = divmod(left, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return f"{prefix}{digits}{random_text(24)}"


def call_id(completion: str, choice: int, number: int) -> str:
    """The id of a tool call: as unpredictable as its completion's, and the same wherever it is shown."""
    left = int.from_bytes(hashlib.sha256(f"{completion}/{choice}/{number}".encode()).digest())
    digits = ""
    for _ in range(24):
        left, digit = divmod(left, len(ALPHABET))
        digits += ALPHABET[digit]
    return f"call_{digits}"


def random_text(length: int) -> str:
    """So many characters of `[0-9A-Za-z]`, unpredictable, by one read of the system's generator."""
    return secrets.token_bytes(length).translate(_LETTERS).decode("ascii")

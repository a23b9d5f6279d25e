"""The alphabet of keys and ids: numbers and random text in base 62."""

import secrets
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LETTER_OF_BYTE: Final = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))
"""A table for `bytes.translate`. Eight letters are a little likelier: 5.95 bits a letter."""


def encode(number: int, length: int) -> str:
    """The last `length` digits of a number that isn't negative, the most significant first."""
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def random_text(length: int) -> str:
    """Unpredictable characters of `[0-9A-Za-z]`, by one read of the system's generator."""
    return secrets.token_bytes(length).translate(LETTER_OF_BYTE).decode("ascii")

"""The random last key of a chat chunk, which hides how long its text is."""

import secrets
from typing import Final

from myna.core.base62 import LETTER_OF_BYTE

_BLOCK: Final = 16
_POOL_BYTES: Final = 1024


class Obfuscator:
    """Pads to a multiple of 16 characters; one instance per stream."""

    def __init__(self) -> None:
        self._pool = b""
        self._next = 0

    def padding(self, num_characters: int) -> bytes:
        """Random letters that pad the chunk's length to a multiple of 16."""
        length = -num_characters % _BLOCK
        if self._next + length > len(self._pool):
            self._pool = secrets.token_bytes(_POOL_BYTES).translate(LETTER_OF_BYTE)
            self._next = 0
        start, self._next = self._next, self._next + length
        return self._pool[start : self._next]


def num_characters(json: bytes) -> int:
    """The number of characters in UTF-8 text."""
    return len(json) if json.isascii() else len(json.decode())

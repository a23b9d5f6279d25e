"""Signatures of thoughts: opaque to clients, which send them back with the thoughts of earlier answers.

A signature is a digest of its thought, or holds a thought that isn't shown. It needs no secret key: a
client may write any text into its prompt anyway.
"""

import base64
import binascii
import hashlib
import zlib
from typing import Final

from myna.core.errors import InvalidRequest

_DIGEST: Final = b"\x01"
_TEXT: Final = b"\x02"
_DIGEST_BYTES: Final = 32
MAX_TEXT_BYTES: Final = 10_485_760


def sign(thought: str) -> str:
    """The signature of a thought that is shown."""
    return _encoded(_DIGEST + _digest(thought))


def seal(thought: str) -> str:
    """The signature that holds a thought which isn't shown."""
    return _encoded(_TEXT + zlib.compress(thought.encode("utf-8", "surrogatepass")))


def is_changed(thought: str, signature: str) -> bool:
    """Whether the thought isn't the one that this server signed. Others' signatures say nothing."""
    data = _decoded(signature)
    return data[:1] == _DIGEST and len(data) == _DIGEST_BYTES + 1 and data[1:] != _digest(thought)


class Unsealer:
    """Reads the thoughts that the signatures of one request hold. Together they are limited: compressed, a
    small body could hold thousands of times its size."""

    def __init__(self) -> None:
        self._bytes_left = MAX_TEXT_BYTES

    def read(self, signature: str) -> str:
        """The thought that a signature holds; empty if it holds none. Raises `InvalidRequest`."""
        data = _decoded(signature)
        if data[:1] != _TEXT:
            return ""
        try:
            text = zlib.decompressobj().decompress(data[1:], self._bytes_left + 1)
            self._bytes_left -= len(text)
            if self._bytes_left < 0:
                raise InvalidRequest("messages: the signatures of thinking blocks hold too much text")
            return text.decode("utf-8", "surrogatepass")
        except (zlib.error, UnicodeDecodeError):
            return ""


def _digest(thought: str) -> bytes:
    return hashlib.sha256(thought.encode("utf-8", "surrogatepass")).digest()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(signature: str) -> bytes:
    try:
        return base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return b""

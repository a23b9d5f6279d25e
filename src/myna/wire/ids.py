"""Ids in OpenAI's shape: a prefix, the creation time in base 62, and chance."""

import hashlib
from typing import Final

from myna.core import base62

_EPOCH: Final = 1_576_800_000


def completion_id(prefix: str, created: int) -> str:
    """`chatcmpl-` or `cmpl-`, five digits of time, 24 of chance; ids sort by their second."""
    return f"{prefix}{base62.encode(created - _EPOCH, 5)}{base62.random_text(24)}"


def call_id(completion: str, choice: int, number: int) -> str:
    """The id of a tool call: as unpredictable as its completion's, and the same wherever it is shown."""
    digest = hashlib.sha256(f"{completion}/{choice}/{number}".encode()).digest()
    return f"call_{base62.encode(int.from_bytes(digest), 24)}"

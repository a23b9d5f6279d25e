"""Ids in OpenAI's format: a prefix, the creation time in base 62, and random characters."""

import hashlib
from typing import Final

from myna.core import base62

_EPOCH: Final = 1_576_800_000


def completion_id(prefix: str, created: int) -> str:
    """`chatcmpl-` or `cmpl-`, five characters of time and 24 random ones; ids sort by creation
    time in seconds."""
    return f"{prefix}{base62.encode(created - _EPOCH, 5)}{base62.random_text(24)}"


def call_id(completion: str, choice: int, number: int) -> str:
    """The id of a tool call: as unpredictable as its completion's id, and the same in every
    representation of the completion."""
    digest = hashlib.sha256(f"{completion}/{choice}/{number}".encode()).digest()
    return f"call_{base62.encode(int.from_bytes(digest), 24)}"

"""Ids in OpenAI's and Anthropic's formats: a prefix, the creation time or none, and random characters."""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from typing import Final

from myna.core import base62

_EPOCH: Final = 1_576_800_000
_RESPONSE_ID: Final = re.compile(r"resp_([0-9a-f]{16})[0-9a-f]{34}")
_CONVERSATION_ID: Final = re.compile(r"conv_[0-9a-f]{48}")


def completion_id(prefix: str, created: int) -> str:
    """`chatcmpl-` or `cmpl-`, five characters of time and 24 random ones; ids sort by creation
    time in seconds."""
    return f"{prefix}{base62.encode(created - _EPOCH, 5)}{base62.random_text(24)}"


def call_id(completion: str, choice: int, number: int) -> str:
    """The id of a tool call: as unpredictable as its completion's id, and the same in every
    representation of the completion."""
    digest = hashlib.sha256(f"{completion}/{choice}/{number}".encode()).digest()
    return f"call_{base62.encode(int.from_bytes(digest), 24)}"


@dataclass(frozen=True, slots=True)
class ItemIds:
    """New ids for a response and its items: a prefix and 50 hexadecimal digits, the first 16 of which are
    the `root` that all responses of a chain share, followed by 00, eight of the creation time and 24 random
    ones."""

    root: str

    @classmethod
    def continuing(cls, response_id: str | None) -> "ItemIds":
        """Those of a response that continues this one, if any."""
        match = _RESPONSE_ID.fullmatch(response_id or "")
        return cls(match[1] if match else secrets.token_hex(8))

    @classmethod
    def within(cls, conversation_id: str) -> "ItemIds":
        """Those of a response that belongs to a conversation."""
        return cls(
            conversation_id[-16:] if _CONVERSATION_ID.fullmatch(conversation_id) else secrets.token_hex(8)
        )

    def new(self, prefix: str, created: int | None = None) -> str:
        """An id of something created then; None: now."""
        at = int(time.time()) if created is None else created
        return f"{prefix}{self.root}00{at & 0xFFFFFFFF:08x}{secrets.token_hex(12)}"


def conversation_id(created: int) -> str:
    """`conv_`, eight hexadecimal digits of the creation time and 40 random ones."""
    return f"conv_{created & 0xFFFFFFFF:08x}{secrets.token_hex(20)}"


def conversation_item_id(conversation: str, prefix: str) -> str:
    """The id of an item that is added to a conversation by itself: a prefix, eight hexadecimal digits of the
    time, 26 random ones and the last 16 of the conversation's id."""
    return f"{prefix}{int(time.time()) & 0xFFFFFFFF:08x}{secrets.token_hex(13)}{conversation[-16:]}"


def new_call_id() -> str:
    """A new id of a tool call, that its output refers to."""
    return f"call_{base62.random_text(24)}"


def moderation_id() -> str:
    """The id of an answer of the Moderations API."""
    return f"modr-{base62.random_text(29)}"


def message_id() -> str:
    """The id of one of Anthropic's messages."""
    return f"msg_01{base62.random_text(22)}"


def tool_use_id(message: str, number: int) -> str:
    """The id of a call in a message, likewise derived from the message's."""
    digest = hashlib.sha256(f"{message}/{number}".encode()).digest()
    return f"toolu_01{base62.encode(int.from_bytes(digest), 22)}"

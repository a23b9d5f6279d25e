"""The protocol between the server and a template process: messages, each preceded by its length in four
bytes.

Requests are marshalled: plain values between processes of the same interpreter, including integers and texts
that msgpack can't represent. Replies come from a process that runs untrusted code: just a letter and a text.
"""

import socket
import struct
from collections.abc import Callable
from enum import StrEnum
from typing import Final

MAX_REPLY_BYTES: Final = 256 << 20
_LENGTH: Final = struct.Struct("<I")
_PART_BYTES: Final = 1 << 20


class Kind(StrEnum):
    """The kind of a reply's text."""

    TEXT = "T"
    REFUSAL = "R"  # the template's own message
    OUT_OF_BOUNDS = "B"  # which limit was exceeded
    FAULT = "F"  # the exception's name
    FEATURES = "P"  # JSON


def send(connection: socket.socket, payload: bytes, on_wait: Callable[[], None] = lambda: None) -> None:
    """Raises OSError if the other end is gone. For `on_wait` see `receive`."""
    data = memoryview(_LENGTH.pack(len(payload)) + payload)
    while data:
        try:
            data = data[connection.send(data) :]
        except TimeoutError:
            on_wait()


def receive(connection: socket.socket, on_wait: Callable[[], None] = lambda: None) -> bytes | None:
    """The next message; None if the other end is gone. `on_wait` is called whenever the connection's timeout
    expires, and may raise."""
    head = _receive(connection, _LENGTH.size, on_wait)
    if head is None:
        return None
    (size,) = _LENGTH.unpack(head)
    return _receive(connection, size, on_wait) if size <= MAX_REPLY_BYTES else None


def _receive(connection: socket.socket, size: int, on_wait: Callable[[], None]) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        try:
            part = connection.recv(min(size - len(data), _PART_BYTES))
        except TimeoutError:
            on_wait()
            continue
        except OSError:
            return None
        if not part:
            return None
        data += part
    return bytes(data)

"""What the server and a template process say to each other: each message after its length in four bytes.

A question is marshalled: plain values between two processes of one interpreter, whose integers and texts may
be such as msgpack can't carry. An answer comes from where strangers' code runs: a letter and text, no more.
"""

import socket
import struct
from collections.abc import Callable
from enum import StrEnum
from typing import Final

MAX_ANSWER_BYTES: Final = 256 << 20
_LENGTH: Final = struct.Struct("<I")
_PART_BYTES: Final = 1 << 20


class Kind(StrEnum):
    """What an answer's text is."""

    TEXT = "T"
    REFUSAL = "R"  # the template's words
    OUT_OF_BOUNDS = "B"  # which bound
    FAULT = "F"  # the name of the exception
    FEATURES = "P"  # JSON


def send(connection: socket.socket, payload: bytes, on_wait: Callable[[], None] = lambda: None) -> None:
    """Raises OSError where the other end is gone. `on_wait` as in `receive`."""
    data = memoryview(_LENGTH.pack(len(payload)) + payload)
    while data:
        try:
            data = data[connection.send(data) :]
        except TimeoutError:
            on_wait()


def receive(connection: socket.socket, on_wait: Callable[[], None] = lambda: None) -> bytes | None:
    """The next message; None where the other end is gone. `on_wait` is called whenever the connection's
    timeout passes, and may raise."""
    head = _receive(connection, _LENGTH.size, on_wait)
    if head is None:
        return None
    (size,) = _LENGTH.unpack(head)
    return _receive(connection, size, on_wait) if size <= MAX_ANSWER_BYTES else None


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

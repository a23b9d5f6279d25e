"""JSON request bodies: parsing, counting their values, and the thread that processes large ones.

Knows no endpoint and no schema.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, TypeVar
from weakref import WeakValueDictionary

import orjson

from myna.core.errors import InvalidRequest

INLINE_BYTES: Final = 16 * 1024
"""Parsing and validating a body of this size takes at most about 5 ms, whatever it contains. A client may
send many at once, and the event loop would process all of them in one iteration."""
MAX_VALUES: Final = 500_000
MAX_NODES: Final = 100_000
MAX_LEVELS: Final = 200
"""Of arrays and objects inside each other. orjson reads 1,024, but writes 254; Python's own functions fail at
its recursion limit, 1,000, which includes their callers."""
_SLICE_BYTES: Final = 64 * 1024
_OPENING: Final = b"[{"
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[{]}"))
# An escaped pair of surrogates, or half of one; where backslashes aren't escaped.
_SURROGATES: Final = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[c-fC-F][0-9a-fA-F]{2})"
)

T = TypeVar("T")


class LargeBodies:
    """Runs work on large bodies off the event loop, one body at a time and fairly between keys.

    There is one thread, since parsing and validation hold the GIL: more threads would take it from the event
    loop more often and finish no sooner. Each key has at most one body in the queue, so that a key that sends
    many delays only its own requests.
    """

    def __init__(self, threads: Executor | None = None) -> None:
        """`threads` None: an own thread, started by the first large body."""
        self._threads = threads or ThreadPoolExecutor(1, thread_name_prefix="validation")
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run_if_large(self, num_bytes: int, key_id: str, work: Callable[[], T]) -> T:
        """Like `run`, but inline for a small body, which costs less than switching threads."""
        return work() if num_bytes <= INLINE_BYTES else await self.run(key_id, work)

    async def run(self, key_id: str, work: Callable[[], T]) -> T:
        """The result of `work`, run after earlier work of the same key."""
        turn = self._turns.setdefault(key_id, asyncio.Lock())
        async with turn:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def parse(data: bytes) -> object:
    """The value of a JSON text. Half of a surrogate pair, which programs send that cut a string by its UTF-16
    length, becomes U+FFFD, as at OpenAI. Raises `orjson.JSONDecodeError`."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        if b"\0" in data or not _SURROGATES.search(data):
            raise
    # Escaped backslashes become what no JSON text contains, so that every other one begins an escape.
    text = data.replace(rb"\\", b"\0\0")
    text = _SURROGATES.sub(lambda found: found[0] if found[1] else rb"\ufffd", text)
    return orjson.loads(text.replace(b"\0\0", rb"\\"))


def check_size(data: bytes) -> None:
    """Raise `InvalidRequest` for a body with so many values that parsing it would hold the GIL for long.

    orjson parses a whole document without releasing the GIL. The cost depends on the number of values and,
    even more, on how many of them are objects, arrays or properties.
    """
    num_nodes, num_values = count_values(data)
    if num_nodes > MAX_NODES:
        raise _too_many("objects, arrays and properties", MAX_NODES, num_nodes)
    if num_values > MAX_VALUES:
        raise _too_many("values", MAX_VALUES, num_values)


def check_levels(data: bytes) -> None:
    """Raise `InvalidRequest` for a body with values too deep inside each other to be written again. To be
    called after `check_size`."""
    if data.count(b"[") + data.count(b"{") > MAX_LEVELS and (levels := count_levels(data)) > MAX_LEVELS:
        raise _too_many("levels of nesting", MAX_LEVELS, levels)


def count_values(data: bytes, slice_bytes: int = _SLICE_BYTES) -> tuple[int, int]:
    """(objects, arrays and properties; commas between values) in a JSON text.

    Works in slices, between which other threads may run. The counts of malformed JSON are arbitrary.
    """
    num_nodes = num_commas = 0
    for structure in _structure(data, slice_bytes):
        num_nodes += structure.count(b"{") + structure.count(b"[") + structure.count(b":")
        num_commas += structure.count(b",")
    return num_nodes, num_commas


def count_levels(data: bytes, slice_bytes: int = _SLICE_BYTES) -> int:
    """How many arrays and objects of a JSON text are inside each other. The count of malformed JSON is
    arbitrary."""
    level = deepest = 0
    for structure in _structure(data, slice_bytes):
        for bracket in structure.translate(None, _NO_BRACKETS):
            level += 1 if bracket in _OPENING else -1
            deepest = max(deepest, level)
        if level < 0:
            break
    return deepest


def _structure(data: bytes, slice_bytes: int) -> Iterator[bytes]:
    """What is outside the strings of a JSON text."""
    start = 0
    in_string = False
    while start < len(data):
        end = start + slice_bytes
        piece = data[start:end]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # an escape sequence continues in the next slice
            piece += data[end : end + 1]
            end += 1
        start = end
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        between_quotes = piece.split(b'"')
        yield b"".join(between_quotes[in_string::2])
        in_string ^= len(between_quotes) % 2 == 0


def _too_many(noun: str, limit: int, count: int) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid request body: too many {noun}. Expected at most {limit}, but got {count} instead.",
        code="too_many_values",
    )

"""Renders the parts of a body on demand: the first inline, the others in a thread."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from typing import Final

INLINE_PARTS: Final = 4
"""A part takes a few milliseconds at most, so this many need no thread."""


async def render_off_loop(parts: Iterator[bytes], threads: Executor) -> AsyncIterator[bytes]:
    """Yield the parts. After the first, each is rendered in its own executor call, so that other work can run
    in between."""
    for _ in range(INLINE_PARTS):
        if (part := next(parts, None)) is None:
            return
        yield part
    loop = asyncio.get_running_loop()
    while (part := await loop.run_in_executor(threads, next, parts, None)) is not None:
        yield part

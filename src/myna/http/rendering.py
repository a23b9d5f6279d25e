"""Parts of a body that are rendered when they are asked for: the first at once, the others in a thread."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from typing import Final

INLINE_PARTS: Final = 4
"""A part takes a few milliseconds at most, so this many hold up nobody, and need no thread."""


async def rendered(parts: Iterator[bytes], threads: Executor) -> AsyncIterator[bytes]:
    """Each part behind the first is a piece of work of its own, so that others have their turn between."""
    for _ in range(INLINE_PARTS):
        if (part := next(parts, None)) is None:
            return
        yield part
    loop = asyncio.get_running_loop()
    while (part := await loop.run_in_executor(threads, next, parts, None)) is not None:
        yield part

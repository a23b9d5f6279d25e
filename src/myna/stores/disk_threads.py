"""Threads for reading and writing files, so that a slow disk doesn't hold up the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, ParamSpec, Protocol, TypeVar

_NUM_THREADS: Final = 4


class Closable(Protocol):
    def close(self) -> object: ...


P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=Closable)


class DiskThreads:
    """To be used in one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="files")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work on files in a thread."""
        return await asyncio.wrap_future(self._threads.submit(lambda: work(*args, **kwargs)))

    async def open(self, work: Callable[P, C], *args: P.args, **kwargs: P.kwargs) -> C:
        """Like `run`, for work that opens something: closed again if the caller is cancelled."""
        opening = self._threads.submit(lambda: work(*args, **kwargs))
        try:
            return await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise

    def close(self) -> None:
        """Start no more work; what runs finishes by itself."""
        self._threads.shutdown(wait=False)


def _close(opening: "Future[C]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()

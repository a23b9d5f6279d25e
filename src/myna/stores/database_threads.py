"""Threads for blocking store calls, separate from those that other work needs."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from myna.core.errors import DatabaseUnavailable
from myna.core.translatable import N_

_NUM_THREADS: Final = 4
"""`stores.database` has a connection for each."""
_MAX_QUEUE_S: Final = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseThreads:
    """A slow or unavailable database only delays the calls that run here. To be used in one event loop."""

    def __init__(self, num_threads: int = _NUM_THREADS, *, max_queue_s: float = _MAX_QUEUE_S) -> None:
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="database")
        self._max_queue_s = max_queue_s

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a store. Raises `DatabaseUnavailable` if no thread becomes free in time."""
        deadline = time.monotonic() + self._max_queue_s

        def in_time() -> T:
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(N_("Earlier database calls took too long."))
            return work(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._threads, in_time)

    def close(self) -> None:
        """Start no more calls; running ones finish by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

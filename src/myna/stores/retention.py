"""Deletes what was stored longer ago than the retention period, in small pieces in the background."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from myna.core.errors import DatabaseUnavailable
from myna.core.stored import LimitedStore
from myna.core.supervision import SupervisedTask
from myna.stores.database_threads import DatabaseThreads

_DAY_S: Final = 86_400
_EVERY_S: Final = 3600.0
_PAUSE_S: Final = 0.5
"""Between two pieces: others use the database, too."""

log = logging.getLogger("myna.serving")


class Retention:
    """`keep_days`: how long they are kept; 0: for ever."""

    def __init__(
        self,
        stores: Sequence[LimitedStore],
        threads: DatabaseThreads,
        keep_days: int,
        *,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
        pause_s: float = _PAUSE_S,
    ) -> None:
        self._stores = stores
        self._threads = threads
        self._keep_days = keep_days
        self._clock = clock
        self._steady_clock = steady_clock
        self._pause_s = pause_s
        self._started = clock(), steady_clock()
        self._task = SupervisedTask("deleting what was stored long ago", self._run)

    def start(self) -> None:
        if self._keep_days:
            self._task.start()

    async def aclose(self) -> None:
        await self._task.aclose()

    async def delete_old(self) -> int:
        """Delete what is too old now; returns the number of rows."""
        total = 0
        for store in self._stores:
            while num_deleted := await self._threads.run(store.delete_older, self._oldest()):
                total += num_deleted
                await asyncio.sleep(self._pause_s)
        return total

    def _oldest(self) -> int:
        """Rows from before this time are deleted. A clock that was set forward since the start deletes
        nothing that is not old."""
        wall, steady = self._started
        now = min(self._clock(), wall + self._steady_clock() - steady)
        return int(now) - self._keep_days * _DAY_S

    async def _run(self) -> None:
        while True:
            try:
                if total := await self.delete_old():
                    log.info("deleted %d stored rows older than %d days", total, self._keep_days)
            except DatabaseUnavailable:  # already logged
                pass
            await asyncio.sleep(_EVERY_S)

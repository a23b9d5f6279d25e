"""Stores answers in the background. An answer never waits long for its copy to be stored, and never fails
because it can't be."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from myna.core.errors import DatabaseUnavailable
from myna.core.outage import Outage
from myna.core.stored import LimitedStore
from myna.core.supervision import SupervisedTask
from myna.stores.database_threads import DatabaseThreads
from myna.stores.store_quota import UNLIMITED, ProjectQuota, StoreQuota

_MAX_RETRY_S: Final = 30.0
_CLOSE_TIMEOUT_S: Final = 5.0

log = logging.getLogger("myna.serving")


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """`wait_s`: how long the end of an answer may be held back, so that a client that has seen it can
    retrieve the copy. `max_*` limit the queue while the store is unavailable, and the size of one row.
    `first_retry_s` doubles with each failure. `quota` limits what each project may store."""

    wait_s: float = 1.5
    max_rows: int = 1000
    max_bytes: int = 64 << 20
    max_row_bytes: int = 16 << 20
    first_retry_s: float = 0.5
    quota: ProjectQuota = UNLIMITED


@dataclass(frozen=True, slots=True)
class _PendingRow:
    write: Callable[[], object]
    num_held: int
    attempted: "asyncio.Future[None]"
    """Done when the row was written or dropped, or the first attempt to write it has failed."""


class StoreWriter:
    """Writes one row at a time, in a thread. While the database is unavailable, rows wait in a bounded queue
    and are retried with growing delays until the server ends; rows that don't fit are dropped. All methods
    must be called in one event loop."""

    def __init__(
        self, stores: Sequence[LimitedStore], threads: DatabaseThreads, limits: WriterLimits | None = None
    ) -> None:
        self._stores = stores
        self._threads = threads
        self._limits = limits or WriterLimits()
        self._quota = StoreQuota(stores, threads, self._limits.quota)
        self._waiting: deque[_PendingRow] = deque()
        self._num_bytes = 0
        self.is_behind = False
        """Rows wait longer than their callers do: nobody waits any more."""
        self._is_closing = asyncio.Event()
        self._dropping = Outage(log, "answers are not being stored: %s", "answers are being stored again")
        self._worker = SupervisedTask(
            "the writer of stored answers", self._work, on_failure=lambda exc: self._stop_waiting()
        )
        self.num_dropped = 0

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def max_row_bytes(self) -> int:
        """Larger rows are dropped."""
        return self._limits.max_row_bytes

    async def has_room(self, project: str) -> bool:
        """Whether the project may store more; if not, its rows are dropped."""
        return await self._quota.has_room(project)

    async def reserve(self, project: str, size: int) -> bool:
        """Whether the project may store that many bytes more. If so they count from now on; the caller stores
        them itself."""
        if not await self._quota.has_room(project, size):
            return False
        self._quota.add(project, size)
        return True

    def drop_large(self) -> None:
        """Count a row that was not created because it would exceed `max_row_bytes`."""
        self._drop(f"one is larger than {self._limits.max_row_bytes} bytes")

    async def put(
        self, project: str, size: int, write: Callable[[], object], *, num_other_bytes: int = 0
    ) -> bool:
        """Call `write`, which stores a row of that many bytes; returns when it is stored or that takes too
        long. While it waits, `num_other_bytes` more are in memory. False if the row is dropped. Doesn't raise
        the store's errors."""
        if size > self._limits.max_row_bytes:
            self.drop_large()
            return False
        if not await self._quota.has_room(project, size):
            self._drop(f"the project {project} has used up its quota")
            return False
        is_full, num_held = len(self._waiting) >= self._limits.max_rows, size + num_other_bytes
        if is_full or self._num_bytes + num_held > self._limits.max_bytes:
            self._drop("too many are waiting for the database")
            return False
        self._quota.add(project, size)
        waiting = _PendingRow(write, num_held, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._num_bytes += num_held
        self._worker.start()
        if not self.is_behind:
            done, _ = await asyncio.wait([waiting.attempted], timeout=self._limits.wait_s)
            self.is_behind = self.is_behind or not done
        return True

    def add_last(self, write: Callable[[], object]) -> None:
        """Call `write` after the rows that wait now. It must need hardly any memory: it isn't dropped."""
        self._waiting.append(_PendingRow(write, 0, asyncio.get_running_loop().create_future()))
        self._worker.start()

    async def aclose(self) -> None:
        """Write the remaining rows, for at most a few seconds, and close the stores."""
        self._is_closing.set()
        if not await self._worker.wait(_CLOSE_TIMEOUT_S):
            await self._worker.aclose()
        if self._waiting:
            log.error("%d answers could not be stored before the server ended", len(self._waiting))
        with contextlib.suppress(DatabaseUnavailable):  # all threads hang, but the process ends anyway
            for store in self._stores:
                await self._threads.run(store.close)

    async def _work(self) -> None:
        retry_s = self._limits.first_retry_s
        has_failed_at_end = False
        while self._waiting:
            first = self._waiting[0]
            try:
                await self._threads.run(first.write)
            except DatabaseUnavailable:  # already logged
                self._stop_waiting()
                if self._is_closing.is_set():
                    if has_failed_at_end:
                        return
                    has_failed_at_end = True  # it may have begun while the database was away
                    continue
                await self._pause(retry_s)
                retry_s = min(2 * retry_s, _MAX_RETRY_S)
            except Exception:
                log.exception("an answer can't be stored")
                self._remove_first()
                self.num_dropped += 1
            else:
                self._remove_first()
                self.is_behind = has_failed_at_end = False
                self._dropping.succeeded()
                retry_s = self._limits.first_retry_s

    async def _pause(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._is_closing.wait(), pause_s)
        except TimeoutError:
            return

    def _remove_first(self) -> None:
        waiting = self._waiting.popleft()
        self._num_bytes -= waiting.num_held
        if not waiting.attempted.done():
            waiting.attempted.set_result(None)

    def _stop_waiting(self) -> None:
        self.is_behind = True
        for waiting in self._waiting:
            if not waiting.attempted.done():
                waiting.attempted.set_result(None)

    def _drop(self, why: str) -> None:
        self.num_dropped += 1
        self._dropping.failed(why)

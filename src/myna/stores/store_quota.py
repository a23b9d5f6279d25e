"""How much a project may store: counted at intervals, and in between by what is added."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from myna.core.errors import DatabaseError, DatabaseUnavailable
from myna.core.stored import LimitedStore, StoredUsage
from myna.stores.database_threads import DatabaseThreads

_COUNT_AGAIN_S: Final = 60.0
_COUNT_NEAR_LIMIT_S: Final = 5.0  # other servers on the database fill the quota, too
_WAIT_S: Final = 1.5
_BYTES_PER_ROW: Final = 4096

log = logging.getLogger("myna.serving")


@dataclass(frozen=True, slots=True)
class ProjectQuota:
    """The limits of each project; 0: none."""

    max_bytes: int = 0
    max_rows: int = 0

    def has_room(self, usage: StoredUsage, num_bytes: int) -> bool:
        return not (
            (self.max_bytes and usage.num_bytes + num_bytes > self.max_bytes)
            or (self.max_rows and usage.num_rows >= self.max_rows)
        )

    def is_near(self, usage: StoredUsage) -> bool:
        """Whether more than half is used."""
        return (0 < self.max_bytes < 2 * usage.num_bytes) or (0 < self.max_rows < 2 * usage.num_rows)


UNLIMITED: Final = ProjectQuota()


def quota_of(max_bytes: int) -> ProjectQuota:
    """A quota of that size, and of as many rows as fill it with a few kilobytes each."""
    return ProjectQuota(max_bytes, max_bytes // _BYTES_PER_ROW)


class StoreQuota:
    """Unknown usage counts as none: a database that doesn't answer must not cost a copy. All methods must be
    called in one event loop."""

    def __init__(
        self,
        stores: Sequence[LimitedStore],
        threads: DatabaseThreads,
        quota: ProjectQuota,
        *,
        steady_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stores = stores
        self._threads = threads
        self._quota = quota
        self._clock = steady_clock
        self._known: dict[str, tuple[StoredUsage, float]] = {}
        self._counting: dict[str, asyncio.Task[None]] = {}
        self._is_slow = False  # if so, callers don't wait for a count: an earlier one has timed out

    async def has_room(self, project: str, num_bytes: int = 0) -> bool:
        """Whether the project may store that much more. Waits briefly for a new count."""
        if self._quota == UNLIMITED:
            return True
        known = self._known.get(project)
        if known is None or self._is_old(*known):
            done, _ = await asyncio.wait([self._count(project)], timeout=0 if self._is_slow else _WAIT_S)
            self._is_slow = not done
            known = self._known.get(project)
        return known is None or self._quota.has_room(known[0], num_bytes)

    def _is_old(self, usage: StoredUsage, counted_at: float) -> bool:
        after_s = _COUNT_NEAR_LIMIT_S if self._quota.is_near(usage) else _COUNT_AGAIN_S
        return self._clock() - counted_at >= after_s

    def add(self, project: str, num_bytes: int) -> None:
        """Count a row before it is written."""
        if project in self._known:
            usage, counted_at = self._known[project]
            more = StoredUsage(usage.num_rows + 1, usage.num_bytes + num_bytes)
            self._known[project] = more, counted_at

    def _count(self, project: str) -> "asyncio.Task[None]":
        task = self._counting.get(project)
        if task is None:
            task = self._counting[project] = asyncio.create_task(self._count_once(project))
            task.add_done_callback(lambda _: self._counting.pop(project, None))
        return task

    async def _count_once(self, project: str) -> None:
        try:
            usage = await self._threads.run(self._usage, project)
        except DatabaseUnavailable:  # already logged
            return
        except DatabaseError as exc:
            log.error("can't count what the project %s has stored: %s", project, exc)
            return
        self._known[project] = usage, self._clock()

    def _usage(self, project: str) -> StoredUsage:
        found = [store.usage(project) for store in self._stores]
        return StoredUsage(sum(one.num_rows for one in found), sum(one.num_bytes for one in found))

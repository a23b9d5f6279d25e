"""Whether budgets are used up: sums of the ledger, cached and computed off the event loop."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from myna.core.accounts import Limit
from myna.core.errors import DatabaseError, Overloaded
from myna.core.ledger import LedgerStore, UsageFilter
from myna.core.outage import Outage
from myna.stores.database_threads import DatabaseThreads

_NANODOLLARS_PER_CENT: Final = 10_000_000
_MIN_AGE_S: Final = 2.0
_AGE_PER_QUERY_TIME: Final = 20
"""A sum is cached for this many times as long as its query took, so that slow queries stay rare."""
_MAX_AGE_S: Final = 60.0
_TIMEOUT_S: Final = 5.0

log = logging.getLogger("myna.serving")


@dataclass(frozen=True, slots=True)
class _Sum:
    month_s: int
    nano: int
    expires_at: float


class LedgerSpending:
    """What owners have spent this month (UTC). Excludes running requests and those that ended since the
    ledger was last queried."""

    def __init__(
        self,
        store: LedgerStore,
        threads: DatabaseThreads,
        *,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._store = store
        self._threads = threads
        self._timeout_s = timeout_s
        self._outage = Outage(log, "budgets can't be checked: %s", "budgets are checked again")
        self._clock = clock
        self._steady_clock = steady_clock
        self._sums: dict[tuple[str, str], _Sum] = {}
        self._queries: dict[tuple[str, str], asyncio.Task[_Sum]] = {}

    async def is_spent(self, limit: Limit, model: str) -> bool:
        """Whether the limit's budget is used up; `model` is the requested model. Raises `Overloaded` if the
        ledger can't be queried."""
        if limit.budget_cents is None:
            return False
        key = (limit.owner, model if limit.model else "")
        month_s = month_start(self._clock())
        known = self._sums.get(key)
        if known is None or known.month_s != month_s or self._steady_clock() >= known.expires_at:
            known = self._sums[key] = await self._query(key, month_s)
        return known.nano >= limit.budget_cents * _NANODOLLARS_PER_CENT

    async def _query(self, key: tuple[str, str], month_s: int) -> _Sum:
        """The sum; concurrent callers share one query."""
        query = self._queries.get(key)
        if query is None:
            query = self._queries[key] = asyncio.create_task(self._sum(key, month_s))
            query.add_done_callback(lambda _: self._queries.pop(key, None))
        try:
            return await asyncio.wait_for(asyncio.shield(query), self._timeout_s)
        except TimeoutError:
            raise Overloaded("Querying the ledger for spending takes too long.") from None

    async def _sum(self, key: tuple[str, str], month_s: int) -> _Sum:
        began = self._steady_clock()
        owner, model = key
        usage_filter = UsageFilter(
            start_s=month_s,
            projects=() if not owner or owner.startswith("key_") else (owner,),
            key_ids=(owner,) if owner.startswith("key_") else (),
            models=(model,) if model else (),
        )
        try:
            sums = await self._threads.run(self._store.sums, usage_filter, 0)
        except DatabaseError as exc:
            self._outage.failed(exc)
            raise Overloaded("The ledger can't be queried for spending.") from exc
        self._outage.succeeded()
        ended = self._steady_clock()
        lifetime_s = min(_MAX_AGE_S, max(_MIN_AGE_S, _AGE_PER_QUERY_TIME * (ended - began)))
        return _Sum(month_s, sum(one.cost_nano for one in sums), ended + lifetime_s)


def month_start(now: float) -> int:
    """The start of the month of that time, in UTC."""
    moment = datetime.fromtimestamp(now, UTC)
    return int(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())

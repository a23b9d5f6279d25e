"""Whether budgets are spent, asked of the ledger now and then, off the event loop."""

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

_NANO_A_CENT: Final = 10_000_000
_OLD_S: Final = 2.0
_MOST_OF_THE_TIME: Final = 20
"""A sum that takes long is taken rarely: it may use a twentieth of the time."""
_OLDEST_S: Final = 60.0
_PATIENCE_S: Final = 5.0

log = logging.getLogger("myna.serving")


@dataclass(frozen=True, slots=True)
class _Sum:
    month_s: int
    nano: int
    good_until: float


class LedgerSpending:
    """What owners have spent this month (UTC). Requests that run aren't in it yet, nor those that ended
    since the ledger was last asked."""

    def __init__(
        self,
        store: LedgerStore,
        threads: DatabaseThreads,
        *,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._store = store
        self._threads = threads
        self._patience_s = patience_s
        self._outage = Outage(log, "budgets can't be counted: %s", "budgets are counted again")
        self._clock = clock
        self._steady_clock = steady_clock
        self._sums: dict[tuple[str, str], _Sum] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[_Sum]] = {}

    async def is_spent(self, limit: Limit, model: str) -> bool:
        """Whether the limit's budget is used up; `model` is the one that answers. Raises `Overloaded` if the
        ledger can't say."""
        if limit.budget_cents is None:
            return False
        place = (limit.owner, model if limit.model else "")
        month_s = month_start(self._clock())
        known = self._sums.get(place)
        if known is None or known.month_s != month_s or self._steady_clock() >= known.good_until:
            known = self._sums[place] = await self._ask(place, month_s)
        return known.nano >= limit.budget_cents * _NANO_A_CENT

    async def _ask(self, place: tuple[str, str], month_s: int) -> _Sum:
        """The sum; who asks for the same meanwhile gets the same."""
        asking = self._asking.get(place)
        if asking is None:
            asking = self._asking[place] = asyncio.create_task(self._sum(place, month_s))
            asking.add_done_callback(lambda _: self._asking.pop(place, None))
        try:
            return await asyncio.wait_for(asyncio.shield(asking), self._patience_s)
        except TimeoutError:
            raise Overloaded("The ledger takes too long to say what was spent.") from None

    async def _sum(self, place: tuple[str, str], month_s: int) -> _Sum:
        began = self._steady_clock()
        owner, model = place
        wanted = UsageFilter(
            start_s=month_s,
            projects=() if not owner or owner.startswith("key_") else (owner,),
            key_ids=(owner,) if owner.startswith("key_") else (),
            models=(model,) if model else (),
        )
        try:
            sums = await self._threads.run(self._store.sums, wanted, 0)
        except DatabaseError as exc:
            self._outage.failed(exc)
            raise Overloaded("The ledger can't say what was spent.") from exc
        self._outage.succeeded()
        ended = self._steady_clock()
        rest_s = min(_OLDEST_S, max(_OLD_S, _MOST_OF_THE_TIME * (ended - began)))
        return _Sum(month_s, sum(one.cost_nano for one in sums), ended + rest_s)


def month_start(now: float) -> int:
    """When the month of that time began, in UTC."""
    moment = datetime.fromtimestamp(now, UTC)
    return int(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())

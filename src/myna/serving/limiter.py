"""Limits at work: counted before a request runs and settled after it, off the event loop where a database
counts. A request without limits costs a look into a table that is empty."""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from myna.accounts.buckets import SEAT_S
from myna.accounts.limiting import (
    Attempt,
    Cost,
    Gauge,
    Settlement,
    SignOfLife,
    gauges_of,
    headers_of,
    quota_exceeded,
    refused,
)
from myna.accounts.principal import Principal
from myna.catalog.listing import ModelCard
from myna.core.accounts import Limit
from myna.core.counters import Change, CounterStore
from myna.core.errors import DatabaseError, Overloaded
from myna.serving.live_accounts import LiveAccounts
from myna.serving.record import RequestRecord
from myna.serving.spending import LedgerSpending

_SIGN_OF_LIFE_S: Final = SEAT_S / 3

log = logging.getLogger("myna.serving")


@dataclass(frozen=True, slots=True)
class Hold:
    """What a request that runs has taken."""

    attempt: Attempt
    cost: Cost


class Limiter:
    """All methods are for one event loop. `server` names this process where others count with it."""

    def __init__(
        self,
        counters: CounterStore,
        accounts: LiveAccounts,
        spending: LedgerSpending | None,
        organization: str,
    ) -> None:
        self._accounts = accounts
        self._spending = spending
        self._organization = organization
        self._server = secrets.token_bytes(8)
        self._counts = Counts(counters)
        self._seats: Counter[str] = Counter()
        self._living: asyncio.Task[None] | None = None

    async def admit(
        self, principal: Principal, card: ModelCard, cost: Cost, record: RequestRecord
    ) -> Hold | None:
        """Take what the request may use; None if nothing limits it. The answer's headers say what is left.

        Raises `RateLimited`, or `Overloaded` if it can't be counted.
        """
        limits = self._accounts.limits(principal, (card.id, card.target))
        if not limits:
            return None
        await self._check_budgets(limits, card, record)
        gauges = gauges_of(limits)
        if not gauges:
            return None
        hold = Hold(Attempt(gauges, cost, self._server), cost)
        try:
            await self._counts.change(_names(gauges), hold.attempt)
        except asyncio.CancelledError:  # it may have been counted all the same
            self._counts.begin(_names(gauges), Settlement(hold.attempt, cost, 0, self._server))
            raise
        record.headers += headers_of(hold.attempt)
        if hold.attempt.refusal is not None:
            raise refused(hold.attempt.refusal, card.id, self._organization)
        self._sit(gauges, 1)
        return hold

    async def tell(self, principal: Principal, card: ModelCard, record: RequestRecord) -> None:
        """Let the answer of a request that takes nothing say what is left all the same."""
        gauges = gauges_of(self._accounts.limits(principal, (card.id, card.target)))
        if gauges:
            look = Attempt(gauges, None, self._server)
            await self._counts.change(_names(gauges), look)
            record.headers += headers_of(look)

    async def is_spent(self, limit: Limit, model: str) -> bool:
        """Whether a budget is used up. Without a ledger nobody can tell, and nothing may be spent."""
        return self._spending is None or await self._spending.is_spent(limit, model)

    async def settle(self, hold: Hold, used_tokens: int) -> None:
        """Give back what was taken and not used. Called once, whatever ended the request."""
        gauges = hold.attempt.gauges
        self._sit(gauges, -1)
        settlement = Settlement(hold.attempt, hold.cost, used_tokens, self._server)
        try:
            await self._counts.change(_names(gauges), settlement)
        except Overloaded as exc:
            log.error("what a request has not used can't be given back: %s", exc)

    async def aclose(self) -> None:
        if self._living is not None:
            self._living.cancel()
        await self._counts.aclose()

    async def _check_budgets(self, limits: Sequence[Limit], card: ModelCard, record: RequestRecord) -> None:
        for limit in limits:
            if limit.budget_cents is None:
                continue
            if await self.is_spent(limit, card.target):
                record.hint(
                    f"The budget of this month is spent: ${limit.budget_cents / 100:.2f}."
                    if self._spending is not None
                    else "This server keeps no ledger (MYNA_USAGE=false), so it can't tell what was spent."
                )
                raise quota_exceeded()

    def _sit(self, gauges: Sequence[Gauge], change: int) -> None:
        """Remember the seats of this server, and keep them while there are any."""
        for gauge in gauges:
            if gauge.kind == "seats":
                self._seats[gauge.name] += change
        if +self._seats and self._living is None:
            self._living = asyncio.create_task(self._live())

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(_SIGN_OF_LIFE_S)
            taken = dict(+self._seats)
            if not taken:
                self._living = None
                return
            try:
                await self._counts.change(list(taken), SignOfLife(taken, self._server))
            except Overloaded as exc:
                log.error("the requests that run can't be counted: %s", exc)


class Counts:
    """Changes of counters, one after the other. While the store is busy with some, those that come
    meanwhile gather, and are then one step of the store."""

    def __init__(self, store: CounterStore) -> None:
        self._store = store
        self._waiting: list[tuple[Sequence[str], Change, asyncio.Future[None]]] = []
        self._working: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limits")

    async def change(self, names: Sequence[str], change: Change) -> None:
        """Returns when it is made. Raises `Overloaded` if the store can't be reached."""
        if self._store.is_instant:
            self._store.update(names, change)
        else:
            await self.begin(names, change)

    def begin(self, names: Sequence[str], change: Change) -> "asyncio.Future[None]":
        """The same without waiting."""
        made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((names, change, made))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return made

    async def aclose(self) -> None:
        """Make what is still to be made, and close the store."""
        if self._working is not None:
            await self._working
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown(wait=False)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            names = [name for some, _, _ in batch for name in some]
            whole = _one_after_the_other([change for _, change, _ in batch])
            fault: Exception | None = None
            try:
                await loop.run_in_executor(self._thread, self._store.update, names, whole)
            except DatabaseError as exc:
                log.error("limits can't be counted: %s", exc)
                fault = Overloaded(str(exc))
            for _, _, made in batch:
                if made.done():  # who waited has left
                    continue
                if fault is None:
                    made.set_result(None)
                else:
                    made.set_exception(fault)
        self._working = None


def _one_after_the_other(
    changes: Sequence[Change],
) -> Callable[[Mapping[str, bytes], float], Mapping[str, bytes]]:
    def whole(values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        written: dict[str, bytes] = {}
        for change in changes:
            written.update(change({**values, **written}, now))
        return written

    return whole


def _names(gauges: Sequence[Gauge]) -> list[str]:
    return [gauge.name for gauge in gauges]

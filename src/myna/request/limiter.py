"""Limits at work: counted before a request runs and settled after it, off the event loop where a database
counts. A request without limits costs a look into a table that is empty."""

import asyncio
import contextlib
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
from myna.catalog.registry import ModelCard
from myna.core.accounts import Limit
from myna.core.counters import Change, CounterStore
from myna.core.errors import DatabaseError, Overloaded
from myna.core.outage import Outage
from myna.core.supervision import FIRST_DELAY_S, SupervisedTask
from myna.http.record import RequestRecord
from myna.request.live_accounts import LiveAccounts
from myna.request.spending import LedgerSpending

_SIGN_OF_LIFE_S: Final = SEAT_S / 3
_PATIENCE_S: Final = 5.0
_LAST_CHANGES_S: Final = 10.0

log = logging.getLogger("myna.serving")


@dataclass(frozen=True, slots=True)
class Hold:
    """What a request that runs has taken."""

    attempt: Attempt
    cost: Cost


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A change to make, and the future that its caller waits for."""

    names: Sequence[str]
    change: Change
    made: "asyncio.Future[None]"


class Limiter:
    """All methods are for one event loop. `server` names this process where others count with it."""

    def __init__(
        self,
        counters: CounterStore,
        accounts: LiveAccounts,
        spending: LedgerSpending | None,
        organization: str,
        *,
        sign_of_life_s: float = _SIGN_OF_LIFE_S,
    ) -> None:
        self._accounts = accounts
        self._spending = spending
        self._organization = organization
        self._server = secrets.token_bytes(8)
        self._counts = Counts(counters)
        self._seats: Counter[str] = Counter()
        self._sign_of_life_s = sign_of_life_s
        self._signs = SupervisedTask("the signs of life of the limits", self._give_signs)
        self._damaged: set[str] = set()

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
        undo = Settlement(hold.attempt, cost, 0, self._server)
        await self._counts.change(_names(gauges), hold.attempt, undo)
        self._report_damage(hold.attempt)
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
        with contextlib.suppress(Overloaded):  # in the log already; what was taken comes back with time
            await self._counts.settle(_names(gauges), settlement)

    async def aclose(self) -> None:
        await self._signs.aclose()
        await self._counts.aclose()

    def _report_damage(self, attempt: Attempt) -> None:
        for name in set(attempt.damaged) - self._damaged:
            self._damaged.add(name)
            log.error("the counter %s held a damaged value and starts again", name)

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
        if +self._seats:
            self._signs.start()

    async def _give_signs(self) -> None:
        while True:
            await asyncio.sleep(self._sign_of_life_s)
            taken = dict(+self._seats)
            if not taken:
                return
            with contextlib.suppress(Overloaded):  # in the log already
                await self._counts.change(list(taken), SignOfLife(taken, self._server))


class Counts:
    """Changes of counters, one after the other. While the store is busy with some, those that come
    meanwhile gather, and are then one step of the store. `patience_s`: how long anyone waits for it."""

    def __init__(
        self, store: CounterStore, *, patience_s: float = _PATIENCE_S, first_delay_s: float = FIRST_DELAY_S
    ) -> None:
        self._store = store
        self._patience_s = patience_s
        self._waiting: list[_Waiting] = []
        self._batch: list[_Waiting] = []
        self._outage = Outage(log, "limits can't be counted: %s", "limits are counted again")
        self._worker = SupervisedTask(
            "the counting of limits", self._work, on_failure=self._fail, first_delay_s=first_delay_s
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limits")

    async def change(self, names: Sequence[str], change: Change, undo: Change | None = None) -> None:
        """Returns when it is made. Raises `Overloaded` if it can't be, or not in time; it may still be made
        then, as when the caller is cancelled, and `undo` follows it."""
        if self._store.is_instant:
            self._store.update(names, change)
            return
        try:
            await asyncio.wait_for(self.begin(names, change), self._patience_s)
        except (asyncio.CancelledError, TimeoutError) as exc:
            if undo is not None:
                self.begin(names, undo)
            if isinstance(exc, TimeoutError):
                raise Overloaded("The counting of limits takes too long.") from None
            raise

    async def settle(self, names: Sequence[str], change: Change) -> None:
        """The same for a change that must not be given up: returns in time, and the change is made later."""
        if self._store.is_instant:
            self._store.update(names, change)
            return
        made = self.begin(names, change)
        await asyncio.wait([made], timeout=self._patience_s)

    def begin(self, names: Sequence[str], change: Change) -> "asyncio.Future[None]":
        """The same without waiting. Cancelled, a change that has not begun is not made."""
        made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        made.add_done_callback(_retrieve)
        if self._worker.is_delayed:
            made.set_exception(Overloaded("The counting of limits failed and is being started again."))
            return made
        self._waiting.append(_Waiting(names, change, made))
        self._worker.start()
        return made

    async def aclose(self) -> None:
        """Make what is still to be made, and close the store."""
        if not await self._worker.wait(_LAST_CHANGES_S):
            await self._worker.aclose()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown(wait=False)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            self._batch = [one for one in self._waiting if not one.made.done()]
            self._waiting.clear()
            if not self._batch:
                return
            names = [name for one in self._batch for name in one.names]
            whole = _one_after_the_other([one.change for one in self._batch])
            try:
                await loop.run_in_executor(self._thread, self._store.update, names, whole)
            except DatabaseError as exc:
                self._outage.failed(exc)
                self._fail_batch(exc)
            except Exception as exc:
                self._outage.failed(repr(exc), exc_info=exc)
                self._fail_batch(exc)
            else:
                self._outage.succeeded()
                for one in self._batch:
                    if not one.made.done():  # its caller may have left
                        one.made.set_result(None)

    def _fail_batch(self, exc: Exception) -> None:
        for one in self._batch:
            if not one.made.done():
                one.made.set_exception(Overloaded(f"Limits can't be counted: {exc}"))

    def _fail(self, exc: Exception) -> None:
        """No caller may go on waiting for a worker that has died."""
        self._batch += self._waiting
        self._waiting.clear()
        self._fail_batch(exc)


def _retrieve(made: "asyncio.Future[None]") -> None:
    """Retrieve the error, or asyncio logs it where its caller has left."""
    if not made.cancelled():
        made.exception()


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

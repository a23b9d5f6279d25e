"""Enforces limits: reserved before a request runs and settled after it, off the event loop if the counters
are in a database. A request without limits costs one lookup in an empty table."""

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from myna.accounts.buckets import PERMIT_S
from myna.accounts.limiting import (
    Attempt,
    Heartbeat,
    LimitCounter,
    Settlement,
    TokenEstimate,
    anthropic_rate_limit_headers,
    counters_of,
    priority_counters_of,
    quota_error,
    rate_limit_error,
    rate_limit_headers,
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

_HEARTBEAT_S: Final = PERMIT_S / 3
_TIMEOUT_S: Final = 5.0
_LAST_CHANGES_S: Final = 10.0

log = logging.getLogger("myna.serving")


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a running request has taken from its limits."""

    attempt: Attempt
    estimate: TokenEstimate


@dataclass(frozen=True, slots=True)
class _PendingChange:
    """A change to apply, and the future that its caller waits for."""

    names: Sequence[str]
    change: Change
    done_future: "asyncio.Future[None]"


class Limiter:
    """All methods are for one event loop."""

    def __init__(
        self,
        counters: CounterStore,
        accounts: LiveAccounts,
        spending: LedgerSpending | None,
        organization: str,
        *,
        heartbeat_s: float = _HEARTBEAT_S,
    ) -> None:
        self._accounts = accounts
        self._spending = spending
        self._organization = organization
        self._server = secrets.token_bytes(8)
        self._queue = CounterQueue(counters)
        self._permits: Counter[str] = Counter()
        self._heartbeat_s = heartbeat_s
        self._heartbeat = SupervisedTask("sending rate-limit heartbeats", self._send_heartbeats)
        self._damaged: set[str] = set()

    async def admit(
        self, principal: Principal, card: ModelCard, estimate: TokenEstimate, record: RequestRecord
    ) -> Reservation | None:
        """Reserve what the request may use; None if nothing limits it. The response's headers report what
        remains.

        Raises `RateLimited`, or `Overloaded` if the counters can't be updated.
        """
        limits = self._accounts.limits(principal, (card.id, card.target))
        if not limits:
            return None
        await self._check_budgets(limits, card, record)
        counters = counters_of(limits)
        if not counters:
            return None
        reservation = Reservation(Attempt(counters, estimate, self._server), estimate)
        undo = Settlement(reservation.attempt, estimate, 0, self._server)
        await self._queue.change(_names(counters), reservation.attempt, undo)
        self._log_damage(reservation.attempt)
        _add_headers(record, reservation.attempt)
        if reservation.attempt.refusal is not None:
            raise rate_limit_error(reservation.attempt.refusal, card.id, self._organization)
        self._count_permits(counters, 1)
        return reservation

    async def may_use_priority(self, principal: Principal, card: ModelCard) -> bool:
        """Take one request from the limits of the priority tier; False if they are used up or unknown."""
        counters = priority_counters_of(self._accounts.limits(principal, (card.id, card.target)))
        if not counters:
            return True
        attempt = Attempt(counters, TokenEstimate(0, 0, is_unbounded=False), self._server)
        try:
            await self._queue.change(_names(counters), attempt)
        except Overloaded:  # already logged
            return False
        return attempt.has_taken

    async def add_headers(self, principal: Principal, card: ModelCard, record: RequestRecord) -> None:
        """Add the rate-limit headers to a response whose request takes nothing."""
        counters = counters_of(self._accounts.limits(principal, (card.id, card.target)))
        if counters:
            attempt = Attempt(counters, None, self._server)
            await self._queue.change(_names(counters), attempt)
            _add_headers(record, attempt)

    async def is_spent(self, limit: Limit, model: str) -> bool:
        """Whether a budget is used up; always so without a ledger, since spending is unknown then."""
        return self._spending is None or await self._spending.is_spent(limit, model)

    async def settle(self, reservation: Reservation, used_tokens: int) -> None:
        """Release what was reserved and not used. Called exactly once, however the request ended."""
        counters = reservation.attempt.counters
        self._count_permits(counters, -1)
        settlement = Settlement(reservation.attempt, reservation.estimate, used_tokens, self._server)
        with contextlib.suppress(Overloaded):  # already logged; the buckets refill with time
            await self._queue.settle(_names(counters), settlement)

    async def aclose(self) -> None:
        await self._heartbeat.aclose()
        await self._queue.aclose()

    def _log_damage(self, attempt: Attempt) -> None:
        for name in set(attempt.damaged) - self._damaged:
            self._damaged.add(name)
            log.error("the counter %s had a corrupt value and was reset", name)

    async def _check_budgets(self, limits: Sequence[Limit], card: ModelCard, record: RequestRecord) -> None:
        for limit in limits:
            if limit.budget_cents is None:
                continue
            if await self.is_spent(limit, card.target):
                record.hint(
                    f"This month's budget is used up: ${limit.budget_cents / 100:.2f}."
                    if self._spending is not None
                    else "This server records no usage (MYNA_USAGE=false), so budgets can't be checked."
                )
                raise quota_error()

    def _count_permits(self, counters: Sequence[LimitCounter], change: int) -> None:
        """Track this server's permits, and send heartbeats while it has any."""
        for counter in counters:
            if counter.kind == "seats":
                self._permits[counter.name] += change
        if +self._permits:
            self._heartbeat.start()

    async def _send_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            taken = dict(+self._permits)
            if not taken:
                return
            with contextlib.suppress(Overloaded):  # already logged
                await self._queue.change(list(taken), Heartbeat(taken, self._server))


def _add_headers(record: RequestRecord, attempt: Attempt) -> None:
    """Report the limits in the names of the API that the client speaks."""
    if record.speaks_anthropic:
        record.headers += anthropic_rate_limit_headers(attempt, datetime.now(UTC))
    else:
        record.headers += rate_limit_headers(attempt)


class CounterQueue:
    """Applies changes of counters in order. Changes that arrive while the store is busy are batched into one
    update. `timeout_s`: how long a caller waits."""

    def __init__(
        self, store: CounterStore, *, timeout_s: float = _TIMEOUT_S, first_delay_s: float = FIRST_DELAY_S
    ) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._pending: list[_PendingChange] = []
        self._batch: list[_PendingChange] = []
        self._outage = Outage(
            log, "rate-limit counters can't be updated: %s", "rate-limit counters are updated again"
        )
        self._task = SupervisedTask(
            "updating the rate-limit counters", self._work, on_failure=self._fail, first_delay_s=first_delay_s
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limits")

    async def change(self, names: Sequence[str], change: Change, undo: Change | None = None) -> None:
        """Returns when the change is applied. Raises `Overloaded` if it fails or takes too long. It may still
        be applied then, as when the caller is cancelled; `undo` is submitted to follow it."""
        if self._store.is_instant:
            self._store.update(names, change)
            return
        try:
            await asyncio.wait_for(self.submit(names, change), self._timeout_s)
        except (asyncio.CancelledError, TimeoutError) as exc:
            if undo is not None:
                self.submit(names, undo)
            if isinstance(exc, TimeoutError):
                raise Overloaded("Updating the rate-limit counters takes too long.") from None
            raise

    async def settle(self, names: Sequence[str], change: Change) -> None:
        """Like `change`, for one that must not be lost: on a timeout it returns, and is applied later."""
        if self._store.is_instant:
            self._store.update(names, change)
            return
        done_future = self.submit(names, change)
        await asyncio.wait([done_future], timeout=self._timeout_s)

    def submit(self, names: Sequence[str], change: Change) -> "asyncio.Future[None]":
        """Submit a change without waiting. Cancelling the future drops a change that has not begun."""
        done_future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done_future.add_done_callback(_retrieve)
        if self._task.is_delayed:
            done_future.set_exception(
                Overloaded("Updating the rate-limit counters failed and is being restarted.")
            )
            return done_future
        self._pending.append(_PendingChange(names, change, done_future))
        self._task.start()
        return done_future

    async def aclose(self) -> None:
        """Apply pending changes, then close the store."""
        if not await self._task.wait(_LAST_CHANGES_S):
            await self._task.aclose()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown(wait=False)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            self._batch = [one for one in self._pending if not one.done_future.done()]
            self._pending.clear()
            if not self._batch:
                return
            names = [name for one in self._batch for name in one.names]
            combined = _in_order([one.change for one in self._batch])
            try:
                await loop.run_in_executor(self._thread, self._store.update, names, combined)
            except DatabaseError as exc:
                self._outage.failed(exc)
                self._fail_batch(exc)
            except Exception as exc:
                self._outage.failed(repr(exc), exc_info=exc)
                self._fail_batch(exc)
            else:
                self._outage.succeeded()
                for one in self._batch:
                    if not one.done_future.done():  # its caller may be gone
                        one.done_future.set_result(None)

    def _fail_batch(self, exc: Exception) -> None:
        for one in self._batch:
            if not one.done_future.done():
                one.done_future.set_exception(Overloaded(f"The rate-limit counters can't be updated: {exc}"))

    def _fail(self, exc: Exception) -> None:
        """Fail all callers: none may wait for a worker that has died."""
        self._batch += self._pending
        self._pending.clear()
        self._fail_batch(exc)


def _retrieve(done_future: "asyncio.Future[None]") -> None:
    """Retrieve the error, which asyncio would log if its caller is gone."""
    if not done_future.cancelled():
        done_future.exception()


def _in_order(
    changes: Sequence[Change],
) -> Callable[[Mapping[str, bytes], float], Mapping[str, bytes]]:
    def combined(values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        written: dict[str, bytes] = {}
        for change in changes:
            written.update(change({**values, **written}, now))
        return written

    return combined


def _names(counters: Sequence[LimitCounter]) -> list[str]:
    return [counter.name for counter in counters]

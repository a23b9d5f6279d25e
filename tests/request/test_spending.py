"""Budgets: what was spent this month decides, asked seldom, of the right owner's requests."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from myna.core.accounts import Limit
from myna.core.errors import DatabaseError, Overloaded
from myna.core.ledger import Dimension, UsageFilter, UsageRow, UsageSum
from myna.request.spending import LedgerSpending, month_start
from myna.stores.database_threads import DatabaseThreads
from myna.stores.ledger_memory import MemoryLedger

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
A_CENT = 10_000_000


class Watched(MemoryLedger):
    def __init__(self) -> None:
        super().__init__()
        self.num_asked = 0
        self.go = threading.Event()
        self.go.set()
        self.is_away = False

    def sums(
        self, wanted: UsageFilter, width_s: int, group_by: Sequence[Dimension] = ()
    ) -> Sequence[UsageSum]:
        self.num_asked += 1
        assert self.go.wait(60)
        if self.is_away:
            raise DatabaseError("away")
        return super().sums(wanted, width_s, group_by)


class Month:
    def __init__(self, timeout_s: float = 3600) -> None:
        self.now, self.steady = NOW, 0.0
        self.store = Watched()
        self.spending = LedgerSpending(
            self.store,
            DatabaseThreads(1),
            clock=lambda: self.now,
            steady_clock=lambda: self.steady,
            timeout_s=timeout_s,
        )
        self._row = UsageRow("req_0", "default", "key_1", "completions", int(NOW * 1000), model="tiny")

    def spend(self, cents: int, *, ago_s: float = 0, **fields: str) -> None:
        row = msgspec.structs.replace(
            self._row,
            id=f"req_{self.store.num_asked}_{cents}_{ago_s}_{sorted(fields.items())}",
            cost_nano=cents * A_CENT,
            arrived_ms=int((self.now - ago_s) * 1000),
            **fields,
        )
        self.store.add([row])

    async def is_spent(self, owner: str, cents: int, model: str = "") -> bool:
        self.steady += 10
        return await self.spending.is_spent(Limit(owner, model, budget_cents=cents), "tiny")


async def test_a_budget_is_spent_when_the_requests_of_its_owner_cost_as_much() -> None:
    month = Month()
    month.spend(60)
    month.spend(40, key_id="key_2")
    month.spend(500, project="proj_1", key_id="key_3", model="big")
    for owner, cents in (("key_1", 60), ("key_2", 40), ("default", 100), ("proj_1", 500), ("", 600)):
        assert await month.is_spent(owner, cents), owner
        assert not await month.is_spent(owner, cents + 1), owner
    assert not await month.is_spent("", 101, "tiny")
    assert await month.is_spent("", 100, "tiny")


async def test_last_month_is_forgotten() -> None:
    month = Month()
    month.spend(100, ago_s=NOW - month_start(NOW) + 1)
    assert not await month.is_spent("key_1", 1)
    month.spend(100, ago_s=NOW - month_start(NOW))
    assert await month.is_spent("key_1", 100)
    month.now += 31 * 86_400
    assert not await month.is_spent("key_1", 1)


async def test_the_ledger_is_asked_every_other_second_at_most_and_once_for_all_who_wait() -> None:
    month = Month()
    limit = Limit("key_1", "", budget_cents=100)
    await asyncio.gather(*(month.spending.is_spent(limit, "tiny") for _ in range(50)))
    assert month.store.num_asked == 1
    month.spend(100)
    month.steady += 1.9
    assert not await month.spending.is_spent(limit, "tiny")
    month.steady += 0.2
    assert await month.spending.is_spent(limit, "tiny")
    assert month.store.num_asked == 2


async def test_no_budget_asks_nothing_and_a_ledger_that_is_away_lets_nobody_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    month = Month()
    assert not await month.spending.is_spent(Limit("key_1", "", requests_per_minute=1), "tiny")
    assert month.store.num_asked == 0
    month.store.is_away = True
    for _ in range(3):
        with pytest.raises(Overloaded):
            await month.is_spent("key_1", 1)
    month.store.is_away = False
    assert not await month.is_spent("key_1", 1)
    assert [record.levelname for record in caplog.records] == ["ERROR"], "one line an outage"


async def test_a_ledger_that_hangs_is_not_waited_for_for_ever() -> None:
    month = Month(timeout_s=0.001)
    month.store.go.clear()
    with pytest.raises(Overloaded):
        await month.is_spent("key_1", 1)
    month.store.go.set()


def test_a_month_begins_at_midnight_of_its_first_day() -> None:
    assert month_start(NOW) == datetime(2026, 11, 1, tzinfo=UTC).timestamp()

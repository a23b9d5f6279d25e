"""One contract, every store: each request once, sums that add up however rows are kept, pages in order."""

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.stores.rows import usage_row

from myna.core.errors import DatabaseError
from myna.core.ledger import OUTCOMES, LedgerStore, UsageFilter, UsageRow
from myna.stores import ledger_memory
from myna.stores.registry import open_stores
from myna.stores.usage_sums import COUNTS, DIMENSIONS, HOUR_S, added_up, as_sum

DAY_S = 24 * HOUR_S


@pytest.fixture
def store(url: str) -> Iterator[LedgerStore]:
    opened = open_stores(url).ledger()
    yield opened
    opened.close()


def _many(seed: int, num: int = 300) -> list[UsageRow]:
    """Requests of three days, of every kind."""
    rng = random.Random(seed)
    return [
        usage_row(
            number,
            project=rng.choice(["ours", "theirs"]),
            key_id=rng.choice(["key_a", "key_b", "key_c"]),
            endpoint=rng.choice(["chat.completions", "embeddings"]),
            arrived_ms=rng.randrange(3 * DAY_S * 1000),
            model=rng.choice(["tiny", "big"]),
            user=rng.choice(["", "mia", "李"]),
            service_tier=rng.choice(["", "flex"]),
            duration_ms=rng.randrange(10_000),
            first_token_ms=rng.choice([None, rng.randrange(500)]),
            prompt_tokens=rng.randrange(3000),
            completion_tokens=rng.randrange(3000),
            outcome=rng.choice(OUTCOMES),
            cost_nano=rng.randrange(1 << 40),
        )
        for number in range(num)
    ]


def test_a_row_comes_back_as_it_went_in(store: LedgerStore) -> None:
    row = usage_row(1, user="米娅", first_token_ms=12, error="ContextLengthExceeded", outcome="refused")
    store.add([row, usage_row(2)])
    page = store.page(UsageFilter())
    assert page is not None
    assert list(page.rows) == [usage_row(2), row]


def test_a_request_counts_once_however_often_it_is_added(store: LedgerStore) -> None:
    first = usage_row(1, completion_tokens=5)
    store.add([first])
    store.add([usage_row(1, completion_tokens=500), usage_row(2), usage_row(2)])
    page = store.page(UsageFilter())
    assert page is not None
    assert list(page.rows) == [usage_row(2), first]


def test_the_end_of_a_request_replaces_lost_and_the_last_attempt_the_earlier_ones(store: LedgerStore) -> None:
    def attempt(number: int, **other: Any) -> UsageRow:
        return usage_row(1, **{"arrived_ms": number, "completion_tokens": number} | other)

    for added, kept in (
        (attempt(1, outcome="lost"), attempt(1, outcome="lost")),
        (attempt(1), attempt(1)),
        (attempt(1, outcome="lost"), attempt(1)),
        (attempt(3, outcome="failed"), attempt(3, outcome="failed")),
        (attempt(2), attempt(3, outcome="failed")),
        (attempt(4), attempt(4)),
    ):
        store.add([added])
        page = store.page(UsageFilter())
        assert page is not None
        assert list(page.rows) == [kept]


def test_adding_nothing_is_nothing(store: LedgerStore) -> None:
    store.add([])
    assert store.sums(UsageFilter(), 60) == []


@pytest.mark.parametrize("width_s", [60, HOUR_S, DAY_S, 0])
@pytest.mark.parametrize(
    "group_by", [(), ("model",), ("project", "key_id", "endpoint", "user", "service_tier")]
)
def test_sums_are_those_of_the_rows(store: LedgerStore, width_s: int, group_by: tuple[str, ...]) -> None:
    rows = _many(seed=width_s)
    store.add(rows)
    found = store.sums(UsageFilter(), width_s, group_by)  # type: ignore[arg-type]
    for part in found:
        mine = [
            row
            for row in rows
            if (not width_s or row.arrived_ms // 1000 // width_s * width_s == part.start_s)
            and all(getattr(row, name) == getattr(part, name) for name in group_by)
        ]
        assert part.num_requests == len(mine)
        assert part.completion_tokens == sum(row.completion_tokens for row in mine)
        assert part.cost_nano == sum(row.cost_nano for row in mine)
        assert part.num_failed == sum(row.outcome in ("failed", "lost") for row in mine)
        assert all(getattr(part, name) is None for name in DIMENSIONS if name not in group_by)
    assert sum(part.num_requests for part in found) == len(rows)
    places = [(part.start_s, *(getattr(part, name) or "" for name in DIMENSIONS)) for part in found]
    assert places == sorted(places)


def test_filters_hold_together(store: LedgerStore) -> None:
    rows = _many(seed=5)
    store.add(rows)
    wanted = UsageFilter(DAY_S, 2 * DAY_S, ["ours"], ["key_a", "key_b"], ["tiny"], ["", "李"])
    mine = [
        row
        for row in rows
        if DAY_S * 1000 <= row.arrived_ms < 2 * DAY_S * 1000
        and (row.project, row.model) == ("ours", "tiny")
        and row.key_id != "key_c"
        and row.user != "mia"
    ]
    assert mine
    (total,) = store.sums(wanted, 0)
    assert total.num_requests == len(mine)
    page = store.page(wanted, outcomes=["failed", "lost"], limit=100)
    assert page is not None
    assert {row.id for row in page.rows} == {row.id for row in mine if row.outcome in ("failed", "lost")}


def test_pages_follow_each_other_without_gap_or_repeat(store: LedgerStore) -> None:
    store.add([usage_row(number) for number in range(4)])
    store.add([usage_row(number) for number in range(4, 7)])
    seen: list[str] = []
    after = None
    while True:
        page = store.page(UsageFilter(), after=after, limit=3)
        assert page is not None
        seen += [row.id for row in page.rows]
        after = seen[-1]
        if not page.has_more:
            break
    assert seen == [usage_row(number).id for number in range(6, -1, -1)]


def test_a_page_begins_at_no_row_of_others(store: LedgerStore) -> None:
    store.add([usage_row(1, project="theirs"), usage_row(2)])
    assert store.page(UsageFilter(projects=["ours"]), after=usage_row(1).id) is None
    assert store.page(UsageFilter(), after=usage_row(9).id) is None


def test_what_is_rolled_up_still_counts_by_the_hour_and_no_longer_as_rows(store: LedgerStore) -> None:
    rows = _many(seed=9)
    store.add(rows)
    before = {width: store.sums(UsageFilter(), width, DIMENSIONS) for width in (HOUR_S, DAY_S, 0)}
    cut_s = DAY_S + HOUR_S // 2
    old = [row for row in rows if row.arrived_ms < cut_s * 1000]
    assert store.roll_up(HOUR_S) + store.roll_up(cut_s) == len(old)
    assert store.roll_up(cut_s) == 0
    for width, expected in before.items():
        assert store.sums(UsageFilter(), width, DIMENSIONS) == expected
    page = store.page(UsageFilter(), limit=1000)
    assert page is not None
    assert {row.id for row in page.rows} == {row.id for row in rows} - {row.id for row in old}
    assert sum(part.num_requests for part in store.sums(UsageFilter(), 60)) == len(rows) - len(old)


def test_memory_is_bounded_and_loses_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_memory, "MAX_ROWS", 10)
    store = open_stores("memory:").ledger()
    store.add([usage_row(number) for number in range(8)])
    store.add([usage_row(number) for number in range(8, 25)])
    page = store.page(UsageFilter(), limit=100)
    assert page is not None
    assert [row.id for row in page.rows] == [f"req_{number}" for number in range(24, 14, -1)]
    assert store.sums(UsageFilter(), 0)[0].num_requests == 25


def test_adding_up_loses_no_count() -> None:
    rows = _many(seed=3)
    (total,) = added_up(
        as_sum(usage_row(0, **{name: getattr(row, name) for name in row.__struct_fields__ if name != "id"}))
        for row in [rows[0]] * 3
    )
    assert {name: getattr(total, name) for name in COUNTS} == {
        name: 3 * getattr(as_sum(rows[0]), name) for name in COUNTS
    }


def test_a_database_that_fails_says_so_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "myna.db"
    store = open_stores(f"sqlite:///{path}").ledger()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE usage")
    with pytest.raises(DatabaseError, match="can't be used"):
        store.add([usage_row(1)])
    store.close()

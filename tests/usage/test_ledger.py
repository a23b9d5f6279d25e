"""The ledger at work: each request once, in the database soon, in the journal meanwhile."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from tests.stores.rows import usage_row

from myna.core.errors import ConfigurationError, DatabaseError, Overloaded
from myna.core.ledger import BATCH_TIER, Price, UsageFilter, UsageRow
from myna.stores.journal import Journal
from myna.stores.ledger_memory import MemoryLedger
from myna.stores.registry import open_stores
from myna.usage import ledger as ledgers
from myna.usage.ledger import Ledger
from myna.usage.log import NullUsageEntry

DATABASE = "memory:"


class FlakyStore(MemoryLedger):
    """A store that can be away; `is_tried` is set by each attempt to write."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.is_tried = threading.Event()
        self.is_kept = threading.Event()
        self.is_closed = False

    def add(self, rows: Sequence[UsageRow]) -> None:
        self.is_tried.set()
        if self.is_away:
            raise DatabaseError("The database can't be used: disk full")
        super().add(rows)
        if rows:
            self.is_kept.set()

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def store() -> FlakyStore:
    return FlakyStore()


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "_BATCH_S", 0.001)
    monkeypatch.setattr(ledgers, "_MAX_PAUSE_S", 0.002)


@pytest.fixture
def ledger(store: FlakyStore, tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(store, tmp_path, DATABASE)
    yield opened
    if opened._thread.is_alive():
        opened.stop()


def _kept(store: MemoryLedger) -> dict[str, UsageRow]:
    page = store.page(UsageFilter(), limit=10_000)
    assert page is not None
    return {row.id: row for row in page.rows}


def test_a_row_is_in_the_database_soon_and_its_slot_is_used_again(ledger: Ledger, store: FlakyStore) -> None:
    ledger.start()
    ledger.close(ledger.open(usage_row(1)), usage_row(1, outcome="cancelled"))
    assert store.is_kept.wait(30)
    ledger.stop()
    assert _kept(store) == {"req_1": usage_row(1, outcome="cancelled")}
    assert store.is_closed
    assert ledger.state == ledgers.LedgerState(0, True)


def test_stopping_writes_everything_and_leaves_no_file(
    ledger: Ledger, store: FlakyStore, tmp_path: Path
) -> None:
    ledger.start()
    for number in range(3000):
        entry = ledger.open(usage_row(number)) if number % 2 else None
        ledger.close(entry, usage_row(number))
    ledger.stop()
    assert len(_kept(store)) == 3000
    assert list(tmp_path.iterdir()) == []


def test_while_the_database_is_away_rows_wait_and_the_log_says_so_once(
    ledger: Ledger, store: FlakyStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.is_away = True
    ledger.start()
    for number in range(5):
        ledger.close(ledger.open(usage_row(number)), usage_row(number))
    for _ in range(3):
        store.is_tried.clear()
        assert store.is_tried.wait(30)
    assert ledger.state == ledgers.LedgerState(5, False)
    store.is_away = False
    assert store.is_kept.wait(30)
    ledger.stop()
    assert len(_kept(store)) == 5
    said = [record.message for record in caplog.records]
    assert [line for line in said if "until the database can be written" in line] == [
        "usage stays in the journal until the database can be written: The database can't be used: disk full"
    ]
    assert said[-1] == "usage is written again; nothing was lost"


def test_what_could_not_be_written_is_found_at_the_next_start(store: FlakyStore, tmp_path: Path) -> None:
    first = Ledger(store, tmp_path, DATABASE)
    store.is_away = True
    first.start()
    first.close(first.open(usage_row(1)), usage_row(1))
    first.open(usage_row(2, completion_tokens=0)).count_completion(7)
    first.stop()
    assert _kept(store) == {}
    store.is_away = False
    second = Ledger(store, tmp_path, DATABASE)
    second.start()
    second.stop()
    kept = _kept(store)
    assert kept["req_1"] == usage_row(1)
    assert (kept["req_2"].outcome, kept["req_2"].completion_tokens) == ("lost", 7)
    assert list(tmp_path.iterdir()) == []


def test_a_death_between_the_database_and_the_journal_counts_once(store: FlakyStore, tmp_path: Path) -> None:
    store.add([usage_row(1)])
    dead = Journal(tmp_path, DATABASE)
    dead.take(usage_row(1)).close(usage_row(1))
    dead.close()
    ledger = Ledger(store, tmp_path, DATABASE)
    ledger.start()
    ledger.stop()
    assert list(_kept(store)) == ["req_1"]
    assert list(tmp_path.iterdir()) == []


def test_two_servers_on_one_home_leave_each_other_alone_and_inherit(
    store: FlakyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "_RECOVER_EVERY_S", 0.01)
    other = Journal(tmp_path, DATABASE)
    other.take(usage_row(1, completion_tokens=0)).count_completion(3)
    ledger = Ledger(store, tmp_path, DATABASE)
    ledger.start()
    ledger.close(None, usage_row(2))
    assert store.is_kept.wait(30)
    assert list(_kept(store)) == ["req_2"]
    store.is_kept.clear()
    other.close()  # as at its death
    assert store.is_kept.wait(30)
    ledger.stop()
    assert _kept(store)["req_1"].completion_tokens == 3


def test_garbage_in_the_journal_s_folder_stops_nobody(
    ledger: Ledger, store: FlakyStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "1-aa.journal").write_bytes(b"garbage" * 1000)
    ledger.start()
    ledger.close(None, usage_row(1))
    ledger.stop()
    assert list(_kept(store)) == ["req_1"]
    assert "the journal 1-aa.journal is partly corrupt; it is kept as 1-aa.damaged" in caplog.text


def test_a_journal_without_room_refuses_with_a_time_to_come_back(
    ledger: Ledger, store: FlakyStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("myna.stores.journal._MAX_SEGMENTS", 1)
    slots = [ledger.open(usage_row(number)) for number in range(512)]
    for number in (600, 601):
        with pytest.raises(Overloaded):
            ledger.open(usage_row(number))
    ledger.close(None, usage_row(602, outcome="refused"))
    assert caplog.text.count("the usage journal can't grow") == 1
    for number, slot in enumerate(slots):
        ledger.close(slot, usage_row(number))
    ledger.start()
    assert store.is_kept.wait(30)
    ledger.stop()
    assert len(_kept(store)) == 512


def test_a_journal_that_can_t_be_made_is_a_sentence(store: FlakyStore, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="MYNA_USAGE=false"):
        Ledger(store, tmp_path / "file", DATABASE)


def test_prices_are_those_of_the_time_of_the_request(store: FlakyStore, tmp_path: Path) -> None:
    prices = {"tiny": Price(prompt=0.10, cached=0.05, completion=0.40)}
    ledger = Ledger(store, tmp_path, DATABASE, prices=prices)
    ledger.start()
    ledger.close(None, usage_row(1, prompt_tokens=1000, cached_tokens=600, completion_tokens=50))
    ledger.close(None, usage_row(2, model="free"))
    ledger.stop()
    kept = _kept(store)
    assert kept["req_1"].cost_nano == 90_000  # 400 at 100 + 600 at 50 + 50 at 400 billionths
    assert kept["req_2"].cost_nano == 0


def test_requests_of_batches_cost_a_part_of_the_price(store: FlakyStore, tmp_path: Path) -> None:
    prices = {"tiny": Price(prompt=0.10, cached=0.10, completion=0.40)}
    ledger = Ledger(store, tmp_path, DATABASE, prices=prices, batch_price=0.5)
    ledger.start()
    for number, tier in enumerate((BATCH_TIER, "default")):
        ledger.close(None, usage_row(number, prompt_tokens=10, completion_tokens=10, service_tier=tier))
    ledger.stop()
    kept = _kept(store)
    assert (kept["req_0"].cost_nano, kept["req_1"].cost_nano) == (2500, 5000)


def test_a_line_of_a_batch_without_an_answer_costs_nothing(store: FlakyStore, tmp_path: Path) -> None:
    dead = Journal(tmp_path, DATABASE)
    for number, tier in enumerate((BATCH_TIER, "default")):
        slot = dead.take(usage_row(number, service_tier=tier, prompt_tokens=0, completion_tokens=0))
        slot.count_prompt(10, 5)
        slot.count_completion(7)
    dead.close()
    ledger = Ledger(store, tmp_path, DATABASE, prices={"tiny": Price(prompt=1, cached=1, completion=1)})
    ledger.start()
    for number, tier in enumerate((BATCH_TIER, "default"), 2):
        ledger.close(None, usage_row(number, service_tier=tier, outcome="cancelled"))
    ledger.stop()
    rows = [_kept(store)[f"req_{number}"] for number in range(4)]
    counts = [(row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.cost_nano) for row in rows]
    assert counts == [(0, 0, 0, 0), (10, 5, 7, 17_000), (0, 0, 0, 0), (10, 0, 5, 15_000)]


def test_old_rows_become_sums_whatever_the_clock_did(store: FlakyStore, tmp_path: Path) -> None:
    day_ms = 86_400_000
    store.add([usage_row(1, arrived_ms=day_ms), usage_row(2, arrived_ms=50 * day_ms)])
    for now_day in (1.5, 40.0, 39.0):  # the clock went back in the end
        ledger = Ledger(store, tmp_path, DATABASE, keep_days=30, clock=lambda day=now_day: day * 86_400)  # type: ignore[misc]
        store.is_kept.clear()
        ledger.start()
        ledger.close(None, usage_row(int(now_day * 10), arrived_ms=60 * day_ms))
        assert store.is_kept.wait(30)
        ledger.stop()
    assert "req_1" not in _kept(store)
    assert "req_2" in _kept(store)
    assert sum(part.num_requests for part in store.sums(UsageFilter(), 3600)) == 5


def test_a_database_that_is_full_loses_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/myna.db"
    store = open_stores(url).ledger()
    with store._database.engine.connect() as connection:  # type: ignore[attr-defined]
        num_pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={num_pages}")
    ledger = Ledger(store, tmp_path / "journal", url)
    for number in range(2000):
        ledger.close(None, usage_row(number, user="x" * 100))
    ledger.start()
    ledger.stop()
    assert ledger.state == ledgers.LedgerState(2000, False)
    again = open_stores(url).ledger()
    ledger = Ledger(again, tmp_path / "journal", url)
    ledger.start()
    ledger.stop()
    reader = open_stores(url).ledger()
    assert reader.sums(UsageFilter(), 0)[0].num_requests == 2000
    reader.close()


def test_a_tab_of_nobody_counts_nothing() -> None:
    entry = NullUsageEntry()
    entry.count_prompt(1, 1)
    entry.count_completion(1)
    entry.note_first_token(1)


def test_rows_are_written_whatever_is_wrong_with_the_journals_of_dead_servers(
    store: FlakyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(folder: Path, database: str) -> NoReturn:
        raise ValueError("a bug")

    monkeypatch.setattr(ledgers, "dead_journals", fail)
    ledger = Ledger(store, tmp_path, DATABASE)
    ledger.close(None, usage_row(1))
    ledger.start()
    assert store.is_kept.wait(30)
    store.is_kept.clear()
    ledger.close(None, usage_row(2))
    assert store.is_kept.wait(30)
    ledger.stop()
    assert sorted(_kept(store)) == ["req_1", "req_2"]
    assert "myna-ledger failed unexpectedly" in caplog.text

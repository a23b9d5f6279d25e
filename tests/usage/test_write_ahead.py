"""What is in the database while requests run, and what becomes of it when their machine is gone."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from tests.http.scripted import ScriptedStream, words
from tests.stores.rows import usage_row

from myna.core.errors import DatabaseUnavailable
from myna.core.events import Done, TextDelta
from myna.core.ledger import UsageFilter, UsageRow
from myna.stores.journal import Journal
from myna.stores.registry import open_stores
from myna.usage.ledger import Ledger
from myna.usage.metering import Meter, metered
from myna.usage.write_ahead import STEP_TOKENS, OpenEntry, WriteAhead

STREAMED = usage_row(1, is_stream=True, prompt_tokens=0, completion_tokens=0)


def priced(row: UsageRow) -> UsageRow:
    return msgspec.structs.replace(row, cost_nano=7)


class Store:
    """A `core.ledger.OpenUsageStore` that remembers what was written, or is away."""

    def __init__(self) -> None:
        self.marks: dict[str, int] = {}
        self.is_away = False

    def write(
        self, server: str, lease_s: float, opened: Sequence[UsageRow], counted: Sequence[UsageRow]
    ) -> None:
        if self.is_away:
            raise DatabaseUnavailable("away")
        for row in (*opened, *counted):
            assert (row.id in self.marks) == (row in counted)
            self.marks[row.id] = row.completion_tokens

    def close_expired(self, priced: Callable[[UsageRow], UsageRow]) -> int:
        return 0

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", "a database")


@pytest.fixture
async def ahead(store: Store, journal: Journal) -> AsyncIterator[WriteAhead]:
    opened = WriteAhead(store, priced, lease_s=1.0)
    opened.start()
    yield opened
    await asyncio.to_thread(opened.stop)
    journal.close()


def begin(ahead: WriteAhead, journal: Journal, row: UsageRow = STREAMED) -> OpenEntry:
    return ahead.open(journal.take(row), row)


async def test_no_token_passes_before_its_mark(store: Store, ahead: WriteAhead, journal: Journal) -> None:
    meter = Meter(begin(ahead, journal), None, 0.0)
    stream = metered(ScriptedStream([TextDelta(0, "a", 1)] * 300), meter)
    for tokens in range(1, 301):
        assert (stream.get_nowait() or await anext(stream)) == TextDelta(0, "a", 1)
        assert tokens <= store.marks[STREAMED.id] <= tokens + STEP_TOKENS
    assert meter.completion_tokens == 300


async def test_a_whole_answer_is_covered_once(store: Store, ahead: WriteAhead, journal: Journal) -> None:
    row = msgspec.structs.replace(STREAMED, is_stream=False)
    stream = metered(ScriptedStream(words(*["a"] * 999)), Meter(begin(ahead, journal, row), None, 0.0))
    while event := stream.get_nowait():
        assert type(event) is not Done
        assert store.marks.get(row.id, 0) == 0
    assert await anext(stream) == Done(1000)
    assert store.marks[row.id] == 1000


async def test_nothing_waits_while_the_database_is_away(
    store: Store, ahead: WriteAhead, journal: Journal
) -> None:
    store.is_away = True
    entry = begin(ahead, journal)
    await entry.cover(1000)
    assert store.marks == {}


def test_another_server_closes_what_a_dead_one_had_sent(postgresql_url: str, tmp_path: Path) -> None:
    """The machine is gone, and its journal with it."""
    command = [sys.executable, "-m", "tests.usage.streaming_server", postgresql_url, str(tmp_path), "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        sent = [int(server.stdout.readline()) for _ in range(200)][-1]
        server.kill()
        sent = max([sent, *(int(line) for line in server.stdout if line.strip().isdigit())])
    stores = open_stores(postgresql_url)
    survivor, ledger = stores.open_usage(), stores.ledger()
    assert survivor is not None
    while not survivor.close_expired(priced):
        pass  # its lease of half a second runs
    page = ledger.page(UsageFilter())
    assert page is not None
    (row,) = page.rows
    assert (row.outcome, row.prompt_tokens, row.cached_tokens, row.cost_nano) == ("lost", 12, 3, 7)
    assert sent <= row.completion_tokens <= sent + 2 * STEP_TOKENS
    assert survivor.close_expired(priced) == 0
    ended = msgspec.structs.replace(row, outcome="completed", completion_tokens=sent)
    ledger.add([ended])  # it was alive after all: only cut off
    ledger.add([msgspec.structs.replace(ended, outcome="lost")])
    assert ledger.page(UsageFilter()) == msgspec.structs.replace(page, rows=[ended])
    survivor.close()
    ledger.close()


async def test_a_request_that_ends_is_open_no_more(postgresql_url: str, tmp_path: Path) -> None:
    stores = open_stores(postgresql_url)
    ledger = Ledger(stores.ledger(), tmp_path, postgresql_url, open_usage=stores.open_usage())
    ledger.start()
    entry = ledger.open(STREAMED)
    assert isinstance(entry, OpenEntry)
    await entry.cover(1)
    ledger.close(entry, msgspec.structs.replace(STREAMED, completion_tokens=1))
    await asyncio.to_thread(ledger.stop)
    other = open_stores(postgresql_url)
    open_usage, rows = other.open_usage(), other.ledger()
    assert open_usage is not None
    open_usage.write("nobody", 0, [usage_row(2)], [STREAMED])
    assert open_usage.close_expired(priced) == 1
    page = rows.page(UsageFilter())
    assert page is not None
    assert {row.id: row.completion_tokens for row in page.rows} == {"req_1": 1, "req_2": 5}
    open_usage.close()
    rows.close()

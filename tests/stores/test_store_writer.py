"""Copies of answers: stored at once where the store can, later where it can't, and nobody waits for long."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import msgspec
import pytest

from myna.core.errors import DatabaseError, DatabaseUnavailable
from myna.core.stored import CompletionStore, StoredCompletion, StoredUsage
from myna.stores.database import TimeLimits
from myna.stores.database_threads import DatabaseThreads
from myna.stores.memory import MemoryCompletions
from myna.stores.sql_stores import SqlStores
from myna.stores.store_quota import ProjectQuota, StoreQuota
from myna.stores.store_writer import StoreWriter, WriterLimits

_FOR_EVER_S = 3600.0


def _row(number: int, size: int = 10) -> StoredCompletion:
    return StoredCompletion(f"chatcmpl-{number}", "ours", 1, "tiny", b"x" * size, b"", b"", {})


async def _put(writer: StoreWriter, store: CompletionStore, row: StoredCompletion) -> None:
    await writer.put(row.project, row.num_bytes, partial(store.put, row))


class Flaky(MemoryCompletions):
    """A store that fails on demand, or blocks until released."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Exception] = []
        self.go = threading.Event()
        self.go.set()
        self.is_tried = threading.Event()
        self.is_closed = False

    def put(self, completion: StoredCompletion) -> None:
        self.is_tried.set()
        assert self.go.wait(60)
        if self.faults:
            raise self.faults.pop(0)
        super().put(completion)

    def close(self) -> None:
        self.is_closed = True


@asynccontextmanager
async def _writing(store: CompletionStore, limits: WriterLimits) -> AsyncIterator[StoreWriter]:
    threads = DatabaseThreads(1)
    writer = StoreWriter([store], threads, limits)
    yield writer
    await writer.aclose()
    threads.close()


async def test_who_waited_finds_the_row() -> None:
    store = Flaky()
    async with _writing(store, WriterLimits(wait_s=_FOR_EVER_S)) as writer:
        for number in range(3):
            await _put(writer, store, _row(number))
            assert store.get("ours", f"chatcmpl-{number}") == _row(number)
        assert (writer.num_waiting, writer.num_dropped) == (0, 0)
    assert store.is_closed


async def test_a_store_that_is_slow_makes_one_wait_in_vain_and_nobody_else() -> None:
    store = Flaky()
    store.go.clear()
    async with _writing(store, WriterLimits(wait_s=0.001)) as writer:
        await _put(writer, store, _row(0))
        writer._limits = WriterLimits(wait_s=_FOR_EVER_S)
        for number in range(1, 4):
            await _put(writer, store, _row(number))
        assert writer.num_waiting == 4
        store.go.set()
    page = store.page("ours", order="asc")
    assert page is not None
    assert [row.id[-1] for row in page.rows] == ["0", "1", "2", "3"]


async def test_a_file_that_is_locked_gets_its_rows_when_it_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = TimeLimits(lock_s=0.001)
    store = SqlStores(f"sqlite:///{tmp_path}/myna.db", limits).completions()
    async with _writing(store, WriterLimits(wait_s=_FOR_EVER_S)) as writer:
        with closing(sqlite3.connect(tmp_path / "myna.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for number in range(5):
                await _put(writer, store, _row(number))
            assert writer.num_waiting == 5
            other.execute("ROLLBACK")
    page = store.page("ours")
    assert page is not None
    assert len(page.rows) == 5
    store.close()
    assert [record.levelname for record in caplog.records] == ["ERROR"], "one line an outage"


async def test_what_finds_no_room_is_dropped_counted_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Flaky()
    store.go.clear()
    limits = WriterLimits(wait_s=0.001, max_rows=3, max_bytes=100, max_row_bytes=60)
    async with _writing(store, limits) as writer:
        await _put(writer, store, _row(0, size=61))  # too large by itself
        await _put(writer, store, _row(1, size=50))
        await _put(writer, store, _row(2, size=51))  # no bytes left
        await _put(writer, store, _row(3, size=25))
        await _put(writer, store, _row(4, size=25))
        await _put(writer, store, _row(5, size=0))  # no place left
        assert (writer.num_waiting, writer.num_dropped) == (3, 3)
        store.go.set()
    page = store.page("ours", order="asc")
    assert page is not None
    assert [row.id[-1] for row in page.rows] == ["1", "3", "4"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_room_is_counted_with_the_labels() -> None:
    store = Flaky()
    async with _writing(store, WriterLimits(max_row_bytes=20)) as writer:
        await _put(writer, store, msgspec.structs.replace(_row(0, size=10), metadata={"city": "北京"}))
        await _put(writer, store, msgspec.structs.replace(_row(1, size=11), metadata={"city": "北京"}))
    assert store.get("ours", "chatcmpl-0") is not None
    assert store.get("ours", "chatcmpl-1") is None


@pytest.mark.parametrize("fault", [DatabaseError("no such column"), ValueError("a bug")])
async def test_a_row_that_can_never_be_stored_does_not_keep_the_others(fault: Exception) -> None:
    store = Flaky()
    store.faults = [fault]
    async with _writing(store, WriterLimits(wait_s=_FOR_EVER_S)) as writer:
        await _put(writer, store, _row(0))
        await _put(writer, store, _row(1))
        assert store.get("ours", "chatcmpl-1") == _row(1)
        assert (writer.num_waiting, writer.num_dropped) == (0, 1)


async def test_one_failure_at_the_end_of_the_server_costs_no_row() -> None:
    store = Flaky()
    store.faults = [DatabaseUnavailable("away") for _ in range(2)]
    async with _writing(store, WriterLimits(_FOR_EVER_S, first_retry_s=_FOR_EVER_S)) as writer:
        await _put(writer, store, _row(0))
        await _put(writer, store, _row(1))
    assert store.get("ours", "chatcmpl-0") is not None
    assert store.get("ours", "chatcmpl-1") is not None


async def test_the_end_of_the_server_is_the_last_try_and_says_what_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Flaky()
    store.faults = [DatabaseUnavailable("away") for _ in range(3)]
    async with _writing(store, WriterLimits(_FOR_EVER_S, first_retry_s=_FOR_EVER_S)) as writer:
        await _put(writer, store, _row(0))
        await _put(writer, store, _row(1))
    assert store.get("ours", "chatcmpl-0") is None
    assert "2 answers could not be stored" in caplog.text
    assert store.is_closed


async def test_who_leaves_takes_nothing_away() -> None:
    store = Flaky()
    store.go.clear()
    async with _writing(store, WriterLimits(wait_s=_FOR_EVER_S)) as writer:
        waiting = asyncio.create_task(_put(writer, store, _row(0)))
        await asyncio.to_thread(store.is_tried.wait, 60)
        waiting.cancel()
        await asyncio.wait([waiting])
        store.go.set()
    assert store.get("ours", "chatcmpl-0") == _row(0)


async def test_a_project_stores_no_more_than_its_quota_and_others_are_not_affected() -> None:
    store = Flaky()
    async with _writing(store, WriterLimits(quota=ProjectQuota(max_bytes=25))) as writer:
        for number in range(3):
            await _put(writer, store, _row(number))
        assert await writer.has_room("theirs")
        await _put(writer, store, msgspec.structs.replace(_row(9), project="theirs"))
    assert (store.usage("ours").num_rows, store.usage("theirs").num_rows) == (2, 1)
    assert writer.num_dropped == 1


async def test_servers_on_one_database_find_out_soon_that_a_quota_is_used_up() -> None:
    store, threads = MemoryCompletions(), DatabaseThreads(1)
    now_s = 0.0
    quotas = [
        StoreQuota([store], threads, ProjectQuota(max_rows=3), steady_clock=lambda: now_s) for _ in range(2)
    ]
    store.put(_row(0))
    store.put(_row(1))
    assert [await quota.has_room("ours") for quota in quotas] == [True, True]
    store.put(_row(2))  # by a third server
    now_s = 6.0
    assert [await quota.has_room("ours") for quota in quotas] == [False, False]
    threads.close()


async def test_a_quota_that_can_not_be_counted_costs_no_copy() -> None:
    store = Uncountable()
    async with _writing(store, WriterLimits(quota=ProjectQuota(max_rows=1))) as writer:
        for number in range(3):
            await _put(writer, store, _row(number))
    assert len(store.page("ours", limit=100).rows) == 3  # type: ignore[union-attr]


class Uncountable(MemoryCompletions):
    """A store whose usage can't be read."""

    def usage(self, project: str) -> StoredUsage:
        raise DatabaseError("it can't be counted")

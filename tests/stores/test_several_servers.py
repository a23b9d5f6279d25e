"""Several servers use one database at the same time: each step happens once, and none of them fails."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from sqlalchemy import text
from tests.stores.response_rows import conversation, items, names, response

from myna.core.batches import Batch
from myna.core.errors import DatabaseUnavailable
from myna.core.files import StoredFile
from myna.stores.database import TimeLimits
from myna.stores.sql_stores import SqlStores

T = TypeVar("T")
_NUM_SERVERS = 4
_PATIENT = TimeLimits(lock_s=600, statement_s=600, answer_s=600, pool_s=600)


@pytest.fixture(params=["sqlite", "postgresql"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sequence[SqlStores]]:
    """The stores of several servers."""
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/myna.db" if is_sqlite else request.getfixturevalue("postgresql_url")
    with ExitStack() as stack:
        opened = [SqlStores(url, _PATIENT) for _ in range(_NUM_SERVERS)]
        for stores in opened:
            stack.callback(stores.batches().close)
        yield opened


def _at_once(servers: Sequence[SqlStores], work: Callable[[SqlStores, int], T], times: int = 8) -> list[T]:
    """What the work returns in each of several threads."""
    with ThreadPoolExecutor(times) as threads:
        doing = [threads.submit(work, servers[turn % len(servers)], turn) for turn in range(times)]
        return [one.result() for one in doing]


def _batch(number: int) -> Batch:
    return Batch(f"batch_{number}", "ours", "key_1", "/v1/completions", "file-1", 1, 2**40)


def test_each_batch_is_claimed_by_one(servers: Sequence[SqlStores]) -> None:
    store = servers[0].batches()
    for number in range(6):
        store.add(_batch(number))

    def claim_all(stores: SqlStores, turn: int) -> list[str]:
        claimed = list[str]()
        while len(claimed) < 6 and (batch := stores.batches().claim(100.0, 115.0)) is not None:
            claimed.append(batch.id)
        return claimed

    claimed = [one for several in _at_once(servers, claim_all) for one in several]
    while (late := store.claim(100.0, 115.0)) is not None:  # SQLite: who loses a race gets none
        claimed.append(late.id)
    assert sorted(claimed) == [f"batch_{number}" for number in range(6)]


def test_a_batch_is_cancelled_once_and_ends_once(servers: Sequence[SqlStores]) -> None:
    servers[0].batches().add(_batch(1))
    held = servers[0].batches().claim(100.0, 115.0)
    assert held is not None

    def end(stores: SqlStores, turn: int) -> bool:
        if turn % 2:
            return stores.batches().cancel("ours", "batch_1", 5) is not None
        file = StoredFile(f"file-{turn}", "ours", "batch_output", "out.jsonl", 1, 1)
        with_file = {"status": "completed", "output_file_id": file.id, "epoch": held.epoch + 1}
        return stores.batches().finish(held, [file], with_file) is not None

    _at_once(servers, end)
    batch = servers[0].batches().get("ours", "batch_1")
    files = servers[0].files().page("ours", limit=10)
    assert batch is not None and files is not None
    assert batch.status == "completed"
    assert [file.id for file in files.rows] == [batch.output_file_id]


def test_all_items_of_concurrent_appends_are_in_the_conversation_once(servers: Sequence[SqlStores]) -> None:
    servers[0].conversations().create(conversation("c"))
    numbers = [str(number) for number in range(10)]

    def add(stores: SqlStores, turn: int) -> bool:
        own = [f"{turn}-{number}" for number in range(3)]
        return stores.conversations().add("ours", "conv_c", items(*own, *numbers), now=1)

    assert all(_at_once(servers, add))
    page = servers[0].conversations().page("ours", "conv_c", limit=100, order="asc")
    assert page is not None
    found = names(page.items).split()
    assert sorted(found) == sorted([*numbers, *(f"{turn}-{n}" for turn in range(8) for n in range(3))])
    for turn in range(8):
        places = [found.index(f"{turn}-{number}") for number in range(3)]
        assert places == list(range(places[0], places[0] + 3)), "an append is not divided"


def test_one_of_several_requests_gets_a_conversation(servers: Sequence[SqlStores]) -> None:
    servers[0].conversations().create(conversation("c"))
    for stores, name in zip(servers, "abcd", strict=True):
        stores.background().heartbeat(name, 60)

    def lock(stores: SqlStores, turn: int) -> bool:
        return stores.conversations().lock("ours", "conv_c", f"req_{turn}", "abcd"[turn % _NUM_SERVERS])

    assert sum(_at_once(servers, lock)) == 1


def test_a_server_that_says_it_is_alive_in_several_threads_is(servers: Sequence[SqlStores]) -> None:
    def beat(stores: SqlStores, turn: int) -> bool:
        stores.background().heartbeat(f"server {turn % 2}", 60)
        return stores.background().is_alive(f"server {turn % 2}")

    assert all(_at_once(servers, beat, times=16))


def test_a_background_response_has_one_end(servers: Sequence[SqlStores]) -> None:
    servers[0].responses().put(response("a", status="in_progress", output=(), runner="here"))

    def finish(stores: SqlStores, turn: int) -> bool:
        return stores.background().finish(response("a", status="cancelled" if turn % 2 else "completed"))

    assert sum(_at_once(servers, finish)) == 1


def test_files_that_are_added_at_once_respect_the_quota(servers: Sequence[SqlStores]) -> None:
    def add(stores: SqlStores, turn: int) -> bool:
        file = StoredFile(f"file-{turn}", "ours", "batch", "in.jsonl", 40_000, 1)
        return stores.files().add(file, 100_000)

    assert sum(_at_once(servers, add)) == 2
    assert servers[0].files().num_bytes("ours") == 80_000


# --- a PostgreSQL that is away ---


def _cut(url: str) -> None:
    """End all other connections to the database, as its restart does."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.fixture
def stores(postgresql_url: str) -> Iterator[SqlStores]:
    opened = SqlStores(postgresql_url, _PATIENT)
    yield opened
    opened.batches().close()


def test_a_connection_that_is_cut_changes_nothing_and_the_next_one_works(
    stores: SqlStores, postgresql_url: str
) -> None:
    with pytest.raises(DatabaseUnavailable), stores._database.transaction() as connection:
        connection.execute(text("INSERT INTO runners VALUES ('here', 1)"))
        _cut(postgresql_url)
        connection.execute(text("SELECT 1"))
    stores.conversations().create(conversation("c"), items("1"))
    _cut(postgresql_url)
    assert stores.conversations().add("ours", "conv_c", items("2"), now=1)
    with stores._database.transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM runners")) == 0


def test_leases_last_longer_after_an_outage(stores: SqlStores, postgresql_url: str) -> None:
    """No server could renew its lease meanwhile."""
    stores.batches().add(_batch(1))
    assert stores.batches().claim(100.0, 115.0) is not None
    stores.conversations().create(conversation("c"))
    stores.background().heartbeat("silent", 3600)
    assert stores.conversations().lock("ours", "conv_c", "req_1", "silent")
    stores.background().heartbeat("silent", -1)
    assert not stores.background().is_alive("silent")
    with pytest.raises(DatabaseUnavailable), stores._database.transaction() as connection:
        _cut(postgresql_url)
        connection.execute(text("SELECT 1"))
    assert stores.background().is_alive("silent")
    assert not stores.conversations().lock("ours", "conv_c", "req_2", "here")
    assert stores.batches().claim(116.0, 131.0) is None
    assert stores.batches().claim(136.0, 151.0) is not None


def test_a_database_that_can_only_be_read_is_away(stores: SqlStores, postgresql_url: str) -> None:
    """As a follower is, which has taken the place of its leader too early."""
    _make_read_only(postgresql_url, "SET default_transaction_read_only = on")
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        stores.conversations().create(conversation("c"))
    assert stores.conversations().get("ours", "conv_c") is None
    _make_read_only(postgresql_url, "RESET default_transaction_read_only")
    stores.conversations().create(conversation("c"))


def _make_read_only(url: str, how: str) -> None:
    name = url.partition("@/")[2].partition("?")[0]
    options = "-c default_transaction_read_only=off"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, options=options) as other:
        other.execute(f"ALTER DATABASE {name} {how}".encode())
    _cut(url)

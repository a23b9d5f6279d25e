"""One database for all stores: what is away, locked, silent or full is one error, in time, and one line."""

import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
import psycopg
import pytest
from sqlalchemy import Connection, text

from myna.core.accounts import AuditEvent
from myna.core.errors import DatabaseError, DatabaseUnavailable
from myna.core.ledger import UsageFilter
from myna.core.stored import StoredCompletion
from myna.stores.database import Database, TimeLimits, open_database
from myna.stores.sql import SqlCompletions
from myna.stores.sql_stores import SqlStores

# Long where the test must not run into it, so that a test which does fails by its own time limit.
_LONG_S = 600


def _limits(
    connect_s: int = 2,
    lock_s: float = _LONG_S,
    statement_s: float = _LONG_S,
    answer_s: float = _LONG_S,
    pool_s: float = _LONG_S,
) -> TimeLimits:
    return TimeLimits(connect_s, lock_s, statement_s, answer_s, pool_s)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Another program writes to the file, and takes its time."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def _opened(url: str, limits: TimeLimits) -> Iterator[Database]:
    database = open_database(url, limits)
    try:
        yield database
    finally:
        database.close()


def _event(number: int) -> AuditEvent:
    return AuditEvent(f"audit-{number}", "t", 1, "session", "ana", "", "", "", b"{}")


def _completion() -> StoredCompletion:
    return StoredCompletion("chatcmpl-1", "ours", 1, "tiny", b"{}", b"[]", b"{}", {})


def test_all_stores_of_a_url_use_one_pool_of_connections(tmp_path: Path) -> None:
    stores = SqlStores(f"sqlite:///{tmp_path}/myna.db")
    accounts, completions, ledger = stores.accounts(), stores.completions(), stores.ledger()
    accounts.load()
    completions.get("ours", "chatcmpl-1")
    ledger.sums(UsageFilter(), 0)
    assert stores._database.engine.pool.checkedin() == 1  # type: ignore[attr-defined]
    accounts.close()
    completions.put(_completion())  # one that is closed takes nothing from the others
    assert completions.get("ours", "chatcmpl-1") == _completion()
    completions.close()


def test_a_locked_file_is_unavailable_to_every_store_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stores = SqlStores(f"sqlite:///{tmp_path}/myna.db", _limits(lock_s=0.001))
    accounts, completions = stores.accounts(), stores.completions()
    with _locked(tmp_path / "myna.db"):
        for number in range(5):
            with pytest.raises(DatabaseUnavailable, match="locked"):
                accounts.note(_event(number))
            with pytest.raises(DatabaseUnavailable, match="locked"):
                completions.put(_completion())
            assert completions.get("ours", "chatcmpl-1") is None, "reading goes on"
    completions.put(_completion())
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "the database can't be used: database is locked" in caplog.text
    accounts.close()


def test_a_pool_without_a_free_connection_is_unavailable(tmp_path: Path) -> None:
    with _opened(f"sqlite:///{tmp_path}/myna.db", _limits(pool_s=0.001)) as database:
        taken = [database.engine.connect() for _ in range(8)]
        with pytest.raises(DatabaseUnavailable, match="limit"), database.transaction():
            pass
        for connection in taken:
            connection.close()
        with database.transaction() as connection:
            assert connection.scalar(text("SELECT 1")) == 1


def test_a_mistake_of_the_programs_own_is_not_an_outage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with _opened(f"sqlite:///{tmp_path}/myna.db", _limits()) as database:
        with pytest.raises(DatabaseError) as caught, database.transaction() as connection:
            connection.execute(text("INSERT INTO account_state (id) VALUES (1)"))
        assert not isinstance(caught.value, DatabaseUnavailable)
        assert caplog.records == []


def test_a_statement_of_postgresql_that_takes_too_long_is_ended(postgresql_url: str) -> None:
    limits = _limits(statement_s=0.2)
    with _opened(postgresql_url, limits) as database:
        with (
            pytest.raises(DatabaseUnavailable, match="statement timeout"),
            database.transaction() as connection,
        ):
            connection.execute(text(f"SELECT pg_sleep({_LONG_S})"))
        with database.transaction() as connection:
            assert connection.scalar(text("SELECT 1")) == 1


def test_a_row_that_another_connection_locks_is_not_waited_for_long(postgresql_url: str) -> None:
    with _opened(postgresql_url, _limits(lock_s=0.05)) as database:
        update = text("UPDATE account_state SET version = version + 1")
        with database.transaction() as first:
            first.execute(update)
            with pytest.raises(DatabaseUnavailable, match="lock timeout"), database.transaction() as second:
                second.execute(update)


@contextmanager
def _stopped(process_id: int) -> Iterator[None]:
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


def _backend(connection: Connection) -> int:
    """The process that serves the connection."""
    return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


def test_a_postgresql_that_stops_in_the_middle_is_given_up(postgresql_url: str) -> None:
    """`statement_timeout` can't help there: the server would have to keep it."""
    with _opened(postgresql_url, _limits(answer_s=0.3)) as database, ExitStack() as stack:
        with (
            pytest.raises(DatabaseUnavailable, match="no response within"),
            database.transaction() as connection,
        ):
            stack.enter_context(_stopped(_backend(connection)))
            connection.execute(text("SELECT 1"))
        with database.transaction() as connection:
            assert connection.scalar(text("SELECT 1")) == 1


def test_an_idle_connection_whose_server_stopped_is_replaced(postgresql_url: str) -> None:
    with _opened(postgresql_url, _limits(answer_s=0.3)) as database:
        with database.transaction() as connection:
            stopped = _backend(connection)
        with _stopped(stopped), database.transaction() as connection:
            assert _backend(connection) != stopped


def test_a_host_that_accepts_and_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(DatabaseError, match="can't be opened") as caught:
            open_database(f"postgresql://u:a-secret@127.0.0.1:{port}/db?sslmode=disable", _limits())
    assert "a-secret" not in str(caught.value)


def test_servers_that_wait_for_each_others_steps_are_under_no_lock_timeout(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url.replace("+psycopg", "")) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (0x6D796E61,))
        opened: list[Database] = []
        limits = _limits(lock_s=0.001)
        opener = threading.Thread(target=lambda: opened.append(open_database(postgresql_url, limits)))
        opener.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while opener.is_alive() and other.execute(waiting).fetchone() == (0,):
            pass
        other.execute("SELECT pg_advisory_unlock(%s)", (0x6D796E61,))
        opener.join(60)
    (database,) = opened
    database.close()


def test_only_a_commit_that_need_not_be_synced_is_not(tmp_path: Path) -> None:
    """What SQLite's pragma says within each kind of transaction; 1 doesn't wait for the disk, 2 does."""
    with _opened(f"sqlite:///{tmp_path}/myna.db", _limits()) as database:

        def level(connection: Connection) -> int:
            return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

        for _ in range(2):
            with database.changes(is_synced=False) as connection:
                assert level(connection) == 1
            with database.changes() as connection:
                assert level(connection) == 2
            with pytest.raises(DatabaseError), database.changes(is_synced=False) as connection:
                connection.exec_driver_sql("SELECT nothing")
            with database.transaction() as connection:
                assert level(connection) == 2


def test_what_a_change_reads_stays_true_until_it_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "myna.db"
    with _opened(f"sqlite:///{path}", _limits()) as database, database.changes() as connection:
        connection.exec_driver_sql("SELECT 1")
        with closing(sqlite3.connect(path, timeout=0)) as other, pytest.raises(sqlite3.OperationalError):
            other.execute("DELETE FROM completions")


def test_a_deleted_text_is_not_in_the_file_any_more(tmp_path: Path) -> None:
    path = tmp_path / "myna.db"
    with _opened(f"sqlite:///{path}", _limits()) as database:
        completions = SqlCompletions(database)
        completions.put(msgspec.structs.replace(_completion(), item=b"a secret " * 2000))
        completions.delete("ours", "chatcmpl-1")
        with database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"a secret" not in path.read_bytes()

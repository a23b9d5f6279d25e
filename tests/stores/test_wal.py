"""The switch to SQLite's write-ahead log, at the first opening of a file."""

import contextlib
import sqlite3
from pathlib import Path
from typing import NoReturn

import pytest

from myna.stores.counters_file import FileCounters
from myna.stores.wal import switch_to_wal


def test_a_file_that_another_connection_reads_is_switched_to_wal_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as reader,
        contextlib.closing(sqlite3.connect(tmp_path / "a.db", timeout=0)) as switching,
    ):
        reader.execute("CREATE TABLE numbers (number)")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM numbers").fetchall()
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            reader.execute("COMMIT")

        monkeypatch.setattr("time.sleep", pause)
        switch_to_wal(switching, 60.0)
        assert len(pauses) == 1
        assert switching.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_can_not_be_written_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting helps only against other connections: not where the disk is full, or where it is read only."""

    def pause(seconds: float) -> NoReturn:
        raise AssertionError(seconds)

    monkeypatch.setattr("time.sleep", pause)
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as writer:
        writer.execute("CREATE TABLE numbers (number)")
    with (
        contextlib.closing(sqlite3.connect(f"file:{tmp_path}/a.db?mode=ro", uri=True)) as switching,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        switch_to_wal(switching, 60.0)


def test_counters_that_another_server_opens_now_are_opened_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "myna.db-limits"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE other (number)")
        other.execute("BEGIN IMMEDIATE")
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            other.execute("COMMIT")

        monkeypatch.setattr("time.sleep", pause)
        FileCounters(path).close()
        assert len(pauses) == 1

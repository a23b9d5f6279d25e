"""Rate-limit counters in a SQLite file of their own, which is never synced and may be deleted. Every request
uses it twice, so this calls SQLite directly.

The counters have a clock of their own, so that setting the machine's clock neither refills nor blocks them:
it advances with the time since the machine was started, and the file keeps the difference."""

import contextlib
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from myna.core.boot_clock import BootTime, boot_time
from myna.core.counters import Change
from myna.core.errors import DatabaseError, DatabaseUnavailable
from myna.core.translatable import N_
from myna.stores.wal import switch_to_wal

_BUSY_S: Final = 5.0
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
)
_CLOCK: Final = "clock"
_WRITE: Final = "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class FileCounters:
    """One update at a time; a file lock serializes those of other processes."""

    is_instant = False

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.time,
        boot_clock: Callable[[], BootTime] = boot_time,
    ) -> None:
        """Raises `DatabaseError`. A damaged file is replaced."""
        self._clock = clock
        self._boot_clock = boot_clock
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                self._connection = _connect(path)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                _remove(path)
                self._connection = _connect(path)
        except (sqlite3.Error, OSError) as exc:
            raise DatabaseError(
                N_("The rate-limit counters {path} can't be opened: {reason}", path=path, reason=exc)
            ) from exc
        self._offset = self._synchronized()

    def update(self, names: Sequence[str], change: Change) -> None:
        places = ", ".join("?" * len(names))
        with self._lock, self._transaction() as connection:
            query = f"SELECT name, value FROM counters WHERE name IN ({places})"  # noqa: S608
            # A damaged file may hold other types; as bytes they are rejected as invalid later.
            found = {
                name: value if isinstance(value, bytes) else str(value).encode()
                for name, value in connection.execute(query, names)
            }
            now = self._boot_clock().seconds + self._offset
            written = change(found, now)
            if written:
                connection.executemany(_WRITE, written.items())

    def close(self) -> None:
        self._connection.close()

    def _synchronized(self) -> float:
        """What to add to the time since the machine's start. It stays the same until the next start, when the
        wall clock counts again."""
        boot_id, seconds = self._boot_clock()
        with self._lock, self._transaction() as connection:
            row = connection.execute("SELECT value FROM counters WHERE name = ?", (_CLOCK,)).fetchone()
            known = None if row is None else _offset_of(row[0], boot_id)
            if known is not None:
                return known
            offset = self._clock() - seconds
            connection.execute(_WRITE, (_CLOCK, f"{boot_id} {offset!r}".encode()))
            return offset

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Takes the lock before anything is read."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as exc:
            raise DatabaseUnavailable(
                N_("The rate-limit counters can't be used: {reason}", reason=exc)
            ) from exc


def _offset_of(value: object, boot_id: str) -> float | None:
    """The stored offset, if it belongs to this start of the machine; None also for a damaged value."""
    stored_id, _, offset = value.partition(b" ") if isinstance(value, bytes) else (b"", b"", b"")
    if not boot_id or stored_id != boot_id.encode():
        return None
    try:
        number = float(offset)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _connect(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        switch_to_wal(connection, _BUSY_S)
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(_TABLE)
    except BaseException:
        connection.close()
        raise
    return connection


def _remove(path: Path) -> None:
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        file.unlink(missing_ok=True)

"""What limits have counted, in SQLite or PostgreSQL. None of it is worth waiting for a disk."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, create_engine, event, func, insert, make_url, select
from sqlalchemy import update as sql_update
from sqlalchemy.exc import DatabaseError as SqlDatabaseError
from sqlalchemy.pool import StaticPool

from myna.core.counters import Change, CounterStore
from myna.core.errors import DatabaseError
from myna.stores.database import open_database, transaction
from myna.stores.tables import COUNTERS

_BUSY_MS: Final = 10_000


def open_counters(url: str) -> CounterStore:
    """PostgreSQL's own table; beside a SQLite file another one, so that nothing that must be synced waits
    for these, nor they for it."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return SqlCounters(open_database(url))
    return SqlCounters(_open_file(Path(f"{parsed.database}-limits")))


class SqlCounters:
    """One update at a time in this process; the database keeps those of other processes apart."""

    is_instant = False

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self._is_shared = engine.dialect.name == "postgresql"
        self._lock = threading.Lock()

    def update(self, names: Sequence[str], change: Change) -> None:
        ordered = sorted(set(names))  # every server locks in one order
        with self._lock, transaction(self._engine) as connection:
            found = self._read(connection, ordered)
            if self._is_shared and len(found) < len(ordered):
                _add(connection, [name for name in ordered if name not in found])
                found = self._read(connection, ordered)
            written = change({name: value for name, value in found.items() if value}, self._now(connection))
            rows = [{"key": name, "new": value} for name, value in written.items()]
            missing = [row for row in rows if row["key"] not in found]
            if missing:
                connection.execute(
                    insert(COUNTERS), [{"name": row["key"], "value": row["new"]} for row in missing]
                )
            present = [row for row in rows if row["key"] in found]
            if present:
                connection.execute(
                    sql_update(COUNTERS)
                    .where(COUNTERS.c.name == bindparam("key"))
                    .values(value=bindparam("new")),
                    present,
                )

    def close(self) -> None:
        self._engine.dispose()

    def _read(self, connection: Connection, names: Sequence[str]) -> dict[str, bytes]:
        query = select(COUNTERS).where(COUNTERS.c.name.in_(names)).order_by(COUNTERS.c.name)
        return {row.name: row.value for row in connection.execute(query.with_for_update())}

    def _now(self, connection: Connection) -> float:
        """The clock that all servers on this database share."""
        if not self._is_shared:
            return self._clock()
        return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0.0)


def _add(connection: Connection, names: Sequence[str]) -> None:
    """Rows to lock; another server may be adding the same."""
    from sqlalchemy.dialects.postgresql import insert as insert_or

    rows = [{"name": name, "value": b""} for name in names]
    connection.execute(insert_or(COUNTERS).on_conflict_do_nothing(), rows)


def _open_file(path: Path) -> Engine:
    """A file that may be thrown away, and is if it is damaged: it is never synced."""
    for attempt in (1, 2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600, exist_ok=True)
            return _connect(path)
        except (SqlDatabaseError, OSError) as exc:
            if attempt == 2 or isinstance(exc, OSError):
                raise DatabaseError(f"The file of the limits {path} can't be opened: {exc}") from exc
            for doomed in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                with contextlib.suppress(FileNotFoundError):
                    doomed.unlink()
    raise AssertionError("the second attempt returns or raises")


def _connect(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    event.listen(engine, "connect", _set_pragmas)
    # The lock is taken before the values are read, not when they are written.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        COUNTERS.create(connection, checkfirst=True)
    return engine


def _set_pragmas(connection: Any, record: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself
    for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=OFF"):
        connection.execute(f"PRAGMA {pragma}")

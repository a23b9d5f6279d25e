"""The only access to a database: opens and migrates it, limits every wait, and gives all stores one
connection pool and one translation of errors."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Table,
    column,
    create_engine,
    event,
    inspect,
    make_url,
    select,
    table,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from myna.core.errors import DatabaseError, DatabaseUnavailable
from myna.core.outage import Outage
from myna.core.translatable import N_, Translatable
from myna.stores.wal import switch_to_wal

_MIGRATIONS: Final = Path(__file__).parent / "migrations" / "versions"
_VERSION: Final = table("alembic_version", column("version_num"))
# Servers that start at the same time on one database migrate one after the other.
_MIGRATION_LOCK: Final = 0x6D796E61
_MIGRATION_S: Final = 600.0
_OPENING_MS: Final = 60_000  # SQLite: servers that start at the same time take turns
_CONNECTIONS: Final = 8
"""The maximum for all stores of a process; more than it has threads that use them."""

GRACE_S: Final = 20.0
"""How long after an outage leases that have ended count: their holders renew them in this time."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """In seconds. `lock_s` is for row locks, in SQLite for the file lock. PostgreSQL cancels a statement
    after `statement_s`; a connection whose server doesn't respond is closed after `answer_s`. `pool_s` is the
    wait for a free connection. libpq rounds a `connect_s` below 2 up to 2."""

    connect_s: int = 5
    lock_s: float = 5.0
    statement_s: float = 15.0
    answer_s: float = 20.0
    pool_s: float = 5.0


class Database:
    """Connections to one database, shared by its stores; those of `unsynced` don't wait for the disk.
    Thread-safe and blocking."""

    def __init__(self, engine: Engine, unsynced: Engine | None = None) -> None:
        self.engine = engine
        self._unsynced = unsynced or engine
        self._outage = Outage(_log, "the database can't be used: %s", "the database can be used again")
        self._failed_at = float("-inf")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run the block as one transaction.

        Raises `DatabaseError` for errors of the database, and `DatabaseUnavailable` (already logged) if it
        can't be reached, is full, takes too long, or can only be read, as a PostgreSQL that follows another
        one."""
        with self._reporting(), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def changes(self, *, is_synced: bool = True) -> Iterator[Connection]:
        """Like `transaction`, for changes that depend on what the block reads: SQLite locks the database at
        the beginning, not at the first change. Without `is_synced`, SQLite doesn't wait for the disk: what
        was committed survives the end of the process, but a power failure only after the next commit that is
        synced. Elsewhere there is no difference."""
        engine = self.engine if is_synced else self._unsynced
        with self._reporting(), engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @property
    def was_away(self) -> bool:
        """Whether it couldn't be used a short time ago, so that servers that are alive couldn't say so."""
        return time.monotonic() - self._failed_at < GRACE_S

    def close(self) -> None:
        """Close idle connections. Stores that are still used open new ones."""
        self.engine.dispose()
        self._unsynced.dispose()

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Translates errors, and logs when an outage begins and ends."""
        try:
            yield
        except (OperationalError, InterfaceError, InternalError, PoolTimeout) as exc:
            self._failed_at = time.monotonic()
            self._outage.failed(_reason(exc))
            raise DatabaseUnavailable(_unusable(exc)) from exc
        except SQLAlchemyError as exc:
            raise DatabaseError(_unusable(exc)) from exc
        self._outage.succeeded()


def upsert(connection: Connection, table: Table) -> Any:
    """An insert that supports ON CONFLICT; SQLAlchemy has a class for each database."""
    is_postgresql = connection.dialect.name == "postgresql"
    return postgresql.insert(table) if is_postgresql else sqlite.insert(table)


def open_database(url: str, limits: TimeLimits | None = None) -> Database:
    """Connect and migrate. A SQLite file gets mode 0600, and is backed up next to itself before it is
    migrated.

    Raises `DatabaseError`, whose message never contains the URL's password.
    """
    limits = limits or TimeLimits()
    parsed = make_url(url)
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            _make_private(Path(parsed.database))
        engine = _make_engine(parsed, limits)
        is_sqlite = engine.dialect.name == "sqlite"
        unsynced = _make_engine(parsed, limits, is_synced=False) if is_sqlite else None
        upgrade(engine)
    except (SQLAlchemyError, OSError) as exc:
        raise DatabaseError(
            N_("The database {shown} can't be opened: {reason}", shown=shown, reason=_reason(exc))
        ) from exc
    return Database(engine, unsynced)


def upgrade(engine: Engine) -> None:
    """Apply the missing migrations. Raises `DatabaseError` if the database is newer than this program."""
    with _exclusively(engine) as connection:
        found = _revision(connection)
        if found != newest_revision():
            from myna.stores.migrating import migrate  # a tenth of a server's start, and seldom needed

            migrate(connection, found)


def newest_revision() -> str:
    """The revision of the newest migration, which its file's name begins with."""
    return max(path.name[1:5] for path in _MIGRATIONS.glob("s[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    """The one that Alembic has noted in the database."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    found: str | None = connection.scalar(select(_VERSION.c.version_num))
    return found


def _unusable(exc: Exception) -> Translatable:
    return N_("The database can't be used: {reason}", reason=_reason(exc))


def _reason(exc: Exception) -> str:
    return str(getattr(exc, "orig", None) or exc).splitlines()[0]


def _make_engine(url: URL, limits: TimeLimits, *, is_synced: bool = True) -> Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    is_psycopg = url.drivername == "postgresql+psycopg"
    arguments = _psycopg_arguments(limits) if is_psycopg else {}
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=limits.pool_s,
        pool_pre_ping=not is_sqlite,
        # Values in the URL take precedence.
        connect_args={name: value for name, value in arguments.items() if name not in url.query},
    )
    if is_sqlite:
        event.listen(engine, "connect", partial(_set_pragmas, limits, is_synced))
    if is_psycopg:
        event.listen(engine, "do_connect", _connect_with_timeout(limits))
        event.listen(engine, "connect", partial(_set_timeouts, limits))
    return engine


def _psycopg_arguments(limits: TimeLimits) -> dict[str, int]:
    """libpq's options to detect an unreachable host while connecting, while idle and while sending."""
    return {
        "connect_timeout": limits.connect_s,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": round(limits.answer_s * 1000),
    }


def _connect_with_timeout(limits: TimeLimits) -> Callable[..., Any]:
    from myna.stores.postgresql import NulReplacingDumper, TimeoutConnection

    def connect(dialect: object, record: object, args: Any, arguments: Any) -> TimeoutConnection:
        connection = TimeoutConnection.connect(*args, **arguments)
        connection.answer_s = limits.answer_s
        connection.adapters.register_dumper(str, NulReplacingDumper)
        return connection

    return connect


def _set_timeouts(limits: TimeLimits, connection: Any, record: object) -> None:
    """With SET, since a connection pooler may reject them as connection options."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = {round(limits.statement_s * 1000)}")
        cursor.execute(f"SET lock_timeout = {round(limits.lock_s * 1000)}")
    connection.commit()


@contextlib.contextmanager
def _exclusively(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Migrating a large table may take a while, and so may another server's migration.
            if engine.dialect.driver == "psycopg":
                driver: Any = connection.connection.driver_connection
                driver.answer_s = _MIGRATION_S
            for name in ("statement_timeout", "lock_timeout"):
                connection.exec_driver_sql(f"SET LOCAL {name} = {round(_MIGRATION_S * 1000)}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        elif engine.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_OPENING_MS}")
            connection.exec_driver_sql(
                "BEGIN IMMEDIATE"
            )  # otherwise Python's driver begins the transaction at the first change
        yield connection
    engine.dispose()  # also closes the connection with the long timeouts


def _make_private(path: Path) -> None:
    """Conversations are private: only the owner may read the file, from its creation on."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600, exist_ok=True)
    except OSError as exc:
        raise DatabaseError(
            N_(
                "Can't write to {path} ({reason}); set MYNA_HOME to a folder that you may write to, or "
                "MYNA_DATABASE to another database.",
                path=path,
                reason=exc.strerror or exc,
            )
        ) from exc


def _set_pragmas(limits: TimeLimits, is_synced: bool, connection: Any, record: object) -> None:
    cursor = connection.cursor()
    switch_to_wal(cursor, _OPENING_MS / 1000)
    busy_ms = round(limits.lock_s * 1000)
    for pragma in (
        f"busy_timeout={busy_ms}",
        f"synchronous={'FULL' if is_synced else 'NORMAL'}",
        "foreign_keys=ON",
        "secure_delete=ON",  # deleted texts are overwritten, which costs nothing that could be measured
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()

"""The one way to a database: opens and migrates it, limits every wait for it, and gives all stores one
pool of connections and one translation of errors."""

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from myna.core.errors import DatabaseError, DatabaseUnavailable
from myna.core.outage import Outage
from myna.core.translatable import N_, Translatable

# Two servers that start at once on one database migrate one after the other.
_MIGRATION_LOCK: Final = 0x6D796E61
_MIGRATION_S: Final = 600.0
_OPENING_MS: Final = 60_000  # SQLite: several servers that start at once take turns
_CONNECTIONS: Final = 8
"""At most, for all stores of a process; more than it has threads that use them."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds. `lock_s` is for locks of rows, in SQLite for that of the file. PostgreSQL cancels a
    statement after `statement_s`; a server that stays silent is given up after `answer_s`. `pool_s` is
    for a free connection. libpq rounds a `connect_s` below 2 up to 2."""

    connect_s: int = 5
    lock_s: float = 5.0
    statement_s: float = 15.0
    answer_s: float = 20.0
    pool_s: float = 5.0


class Database:
    """Connections to one database, shared by the stores on it. Thread-safe, and blocking."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._outage = Outage(_log, "the database can't be used: %s", "the database can be used again")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Everything in the block or nothing of it.

        Raises `DatabaseError` for what the database says, and `DatabaseUnavailable` (which is in the log
        already) if it is away, has no room or takes too long.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError, PoolTimeout) as exc:
            self._outage.failed(_reason(exc))
            raise DatabaseUnavailable(_unusable(exc)) from exc
        except SQLAlchemyError as exc:
            raise DatabaseError(_unusable(exc)) from exc
        self._outage.succeeded()

    def close(self) -> None:
        """Close the connections that nobody uses. A store that is used later opens new ones."""
        self.engine.dispose()


def open_database(url: str, limits: TimeLimits | None = None) -> Database:
    """Connect and migrate. A SQLite file is made 0600, and copied beside itself before it changes.

    Raises `DatabaseError`, whose message never holds the URL's password.
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
        upgrade(engine)
    except (SQLAlchemyError, OSError) as exc:
        raise DatabaseError(
            N_("The database {shown} can't be opened: {reason}", shown=shown, reason=_reason(exc))
        ) from exc
    return Database(engine)


def upgrade(engine: Engine) -> None:
    """Apply the steps that the database lacks. Raises `DatabaseError` if it is newer than this program."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    script = ScriptDirectory.from_config(config)
    with _exclusively(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        if found == script.get_current_head():
            return
        if found is not None and found not in {step.revision for step in script.walk_revisions()}:
            raise DatabaseError(
                N_(
                    "The database was written by a newer Myna (its schema is {found}). Update Myna, or "
                    "point it to another database.",
                    found=found,
                )
            )
        if found is not None or inspect(connection).get_table_names():
            _back_up(engine, found)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _unusable(exc: Exception) -> Translatable:
    return N_("The database can't be used: {reason}", reason=_reason(exc))


def _reason(exc: Exception) -> str:
    return str(getattr(exc, "orig", None) or exc).splitlines()[0]


def _make_engine(url: URL, limits: TimeLimits) -> Engine:
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
        # The URL's own values take precedence.
        connect_args={name: value for name, value in arguments.items() if name not in url.query},
    )
    if is_sqlite:
        event.listen(engine, "connect", partial(_set_pragmas, limits))
    if is_psycopg:
        event.listen(engine, "do_connect", _patient_connect(limits))
        event.listen(engine, "connect", partial(_set_timeouts, limits))
    return engine


def _psycopg_arguments(limits: TimeLimits) -> dict[str, int]:
    """libpq's: a host that is gone is noticed while connecting, while idle and while data are on the way."""
    return {
        "connect_timeout": limits.connect_s,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": round(limits.answer_s * 1000),
    }


def _patient_connect(limits: TimeLimits) -> Callable[..., Any]:
    from myna.stores.postgresql import PatientConnection

    def connect(dialect: object, record: object, args: Any, arguments: Any) -> PatientConnection:
        connection = PatientConnection.connect(*args, **arguments)
        connection.answer_s = limits.answer_s
        return connection

    return connect


def _set_timeouts(limits: TimeLimits, connection: Any, record: object) -> None:
    """By SET, since a pooler between us and the server may refuse them as options of the connection."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = {round(limits.statement_s * 1000)}")
        cursor.execute(f"SET lock_timeout = {round(limits.lock_s * 1000)}")
    connection.commit()


@contextlib.contextmanager
def _exclusively(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # A large table may take a while, and so may another server's steps.
            if engine.dialect.driver == "psycopg":
                driver: Any = connection.connection.driver_connection
                driver.answer_s = _MIGRATION_S
            for name in ("statement_timeout", "lock_timeout"):
                connection.exec_driver_sql(f"SET LOCAL {name} = {round(_MIGRATION_S * 1000)}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        elif engine.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_OPENING_MS}")
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # Python's driver would begin at the first change
        yield connection
    engine.dispose()  # and with it the connection that may wait for so long


def _make_private(path: Path) -> None:
    """What people said to a model is nobody else's: the file is its owner's alone, from its first byte."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600, exist_ok=True)


def _set_pragmas(limits: TimeLimits, connection: Any, record: object) -> None:
    cursor = connection.cursor()
    busy_ms = round(limits.lock_s * 1000)
    for pragma in (
        f"busy_timeout={_OPENING_MS}",  # for the change to WAL, which only the first opening of a file makes
        "journal_mode=WAL",
        f"busy_timeout={busy_ms}",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _back_up(engine: Engine, revision: str | None) -> None:
    path = engine.url.database
    if engine.dialect.name != "sqlite" or not path:
        return
    target = Path(f"{path}.before-upgrade-from-{revision or 'unversioned'}")
    target.touch(mode=0o600, exist_ok=True)
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)

"""A database opened and brought up to date: SQLite with its pragmas and a backup, PostgreSQL as it is."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from myna.core.errors import DatabaseError
from myna.core.translatable import N_

# Two servers that start at once on one database migrate one after the other.
_MIGRATION_LOCK: Final = 0x6D796E61
_BUSY_MS: Final = 10_000


def open_database(url: str) -> Engine:
    """Connect and migrate. A SQLite file is made 0600, and copied beside itself before it changes.

    Raises `DatabaseError`, whose message never holds the URL's password.
    """
    parsed = make_url(url)
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            _make_private(Path(parsed.database))
        engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _set_pragmas)
        upgrade(engine)
    except (SQLAlchemyError, OSError) as exc:
        reason = str(getattr(exc, "orig", None) or exc).splitlines()[0]
        raise DatabaseError(
            N_("The database {shown} can't be opened: {reason}", shown=shown, reason=reason)
        ) from exc
    return engine


@contextlib.contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Everything in the block or nothing of it. Raises `DatabaseError` for what the database says."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as exc:
        reason = str(getattr(exc, "orig", None) or exc).splitlines()[0]
        raise DatabaseError(N_("The database can't be used: {reason}", reason=reason)) from exc


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


@contextlib.contextmanager
def _exclusively(engine: Engine) -> Iterator[Any]:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        elif engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # Python's driver would begin at the first change
        yield connection


def _make_private(path: Path) -> None:
    """What people said to a model is nobody else's: the file is its owner's alone, from its first byte."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600, exist_ok=True)


def _set_pragmas(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}"):
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

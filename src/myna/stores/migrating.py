"""Brings a database's tables to this program's revision, with Alembic. Imported when a database needs it:
Alembic and the migrations are a tenth of what a server imports."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from myna.core.errors import DatabaseError
from myna.core.translatable import N_

_FOLDER: Final = Path(__file__).with_name("migrations")


def migrate(connection: Connection, found: str | None) -> None:
    """Apply the migrations after revision `found` (None: all). A SQLite file that has tables is backed up
    first. Raises `DatabaseError` if the database is newer than this program."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    script = ScriptDirectory.from_config(config)
    if found is not None and found not in {step.revision for step in script.walk_revisions()}:
        raise DatabaseError(
            N_(
                "The database was written by a newer version of Myna (schema {found}). Update Myna, or "
                "use another database.",
                found=found,
            )
        )
    if found is not None or inspect(connection).get_table_names():
        _back_up(connection, found)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _back_up(connection: Connection, revision: str | None) -> None:
    path = connection.engine.url.database
    if connection.dialect.name != "sqlite" or not path:
        return
    target = Path(f"{path}.before-upgrade-from-{revision or 'unversioned'}")
    target.touch(mode=0o600, exist_ok=True)
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)

"""The rows of files in SQLite or PostgreSQL."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select

from myna.core.batches import UNFINISHED
from myna.core.files import MAX_EXPIRED, FilePage, StoredFile, exceeds_quota
from myna.core.stored import Order
from myna.stores.database import Database
from myna.stores.pages import by_serial, only_after
from myna.stores.tables import BATCHES, FILE_FOLDER, FILES

_TURN: Final = select(FILE_FOLDER.c.name).with_for_update()
"""One file is added after the other, so that all count."""


class SqlFiles:
    """Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def folder_name(self) -> str:
        with self._database.transaction() as connection:
            return str(connection.scalar(select(FILE_FOLDER.c.name)))

    def add(self, file: StoredFile, max_bytes: int = 0) -> bool:
        with self._database.transaction() as connection:
            connection.scalar(_TURN)
            add_files(connection, [file])
            if exceeds_quota(*_usage(connection, file.project), max_bytes):
                connection.rollback()
                return False
            return True

    def get(self, project: str, file_id: str) -> StoredFile | None:
        with self._database.transaction() as connection:
            row = connection.execute(select(FILES).where(*_is(project, file_id))).first()
        return None if row is None else _file(row)

    def page(
        self,
        project: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        purpose: str | None = None,
    ) -> FilePage | None:
        serial = FILES.c.serial
        query = select(FILES).where(FILES.c.project == project)
        with self._database.transaction() as connection:
            if after is not None:
                following = only_after(connection, query, serial, _is(project, after), order)
                if following is None:
                    return None
                query = following
            if purpose is not None:
                query = query.where(FILES.c.purpose == purpose)
            rows = connection.execute(query.order_by(by_serial(serial, order)).limit(limit + 1)).all()
        return FilePage([_file(row) for row in rows[:limit]], has_more=len(rows) > limit)

    def delete(self, project: str, file_id: str) -> bool:
        with self._database.transaction() as connection:
            return connection.execute(delete(FILES).where(*_is(project, file_id))).rowcount > 0

    def num_bytes(self, project: str) -> int:
        with self._database.transaction() as connection:
            return _usage(connection, project)[1]

    def deleted_inputs(self, project: str) -> Sequence[str]:
        columns = BATCHES.c
        exists = select(FILES.c.id).where(FILES.c.id == columns.input_file_id).exists()
        query = select(columns.id).where(columns.project == project, columns.status.in_(UNFINISHED), ~exists)
        with self._database.transaction() as connection:
            return connection.scalars(query).all()

    def expired(self, now: int) -> Sequence[StoredFile]:
        query = select(FILES).where(FILES.c.expires_at <= now).order_by(FILES.c.expires_at).limit(MAX_EXPIRED)
        with self._database.transaction() as connection:
            return [_file(row) for row in connection.execute(query)]

    def in_use(self, names: Collection[str]) -> set[str]:
        columns = BATCHES.c
        unfinished = select(columns.id, columns.output_work, columns.error_work).where(
            columns.status.in_(UNFINISHED)
        )
        with self._database.transaction() as connection:
            files = connection.scalars(select(FILES.c.id).where(FILES.c.id.in_(names)))
            used = set(files)
            for row in connection.execute(unfinished):
                used.update(row)
        return used.intersection(names)

    def close(self) -> None:
        self._database.close()


def add_files(connection: Connection, files: Sequence[StoredFile]) -> None:
    """Add the rows in the connection's transaction."""
    for file in files:
        connection.execute(
            insert(FILES), {name: getattr(file, name) for name in StoredFile.__struct_fields__}
        )


def _usage(connection: Connection, project: str) -> tuple[int, int]:
    """How many files the project has, and how large they are together."""
    query = select(func.count(), func.sum(FILES.c.num_bytes)).where(FILES.c.project == project)
    num_files, num_bytes = connection.execute(query).one()
    return int(num_files), int(num_bytes or 0)


def _is(project: str, file_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return FILES.c.project == project, FILES.c.id == file_id


def _file(row: Row[Any]) -> StoredFile:
    values = row._asdict()
    return StoredFile(**{name: values[name] for name in StoredFile.__struct_fields__})

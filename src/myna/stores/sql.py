"""Stored completions in SQLite or PostgreSQL, with SQLAlchemy Core."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from myna.core.stored import (
    MAX_DELETED_BYTES,
    MAX_DELETED_ROWS,
    MAX_PAGE_BYTES,
    Order,
    StoredCompletion,
    StoredItem,
    StoredPage,
    StoredUsage,
    num_fitting,
)
from myna.stores.database import Database
from myna.stores.pages import by_serial, only_after
from myna.stores.tables import COMPLETION_METADATA, COMPLETIONS

_SIZE: Final = (
    func.length(COMPLETIONS.c.item) + func.length(COMPLETIONS.c.messages) + func.length(COMPLETIONS.c.replay)
)


class SqlCompletions:
    """Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, completion: StoredCompletion) -> None:
        values = {
            name: getattr(completion, name)
            for name in ("id", "project", "created", "model", "item", "messages", "replay")
        }
        with self._database.changes(is_synced=False) as connection:
            connection.execute(delete(COMPLETIONS).where(COMPLETIONS.c.id == completion.id))
            connection.execute(insert(COMPLETIONS), values)
            _write_metadata(connection, completion.id, completion.metadata)

    def get(self, project: str, completion_id: str) -> StoredCompletion | None:
        with self._database.transaction() as connection:
            row = connection.execute(select(COMPLETIONS).where(*_is(project, completion_id))).first()
            if row is None:
                return None
            fields = {name: value for name, value in row._mapping.items() if name != "serial"}
            return StoredCompletion(**fields, metadata=_metadata(connection, [row.id])[row.id])

    def page(
        self,
        project: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        model: str | None = None,
        metadata: Mapping[str, str] | None = None,
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> StoredPage | None:
        serial, item = COMPLETIONS.c.serial, COMPLETIONS.c.item
        query = select(serial, func.length(item).label("size")).where(COMPLETIONS.c.project == project)
        with self._database.transaction() as connection:
            if after is not None:
                following = only_after(connection, query, serial, _is(project, after), order)
                if following is None:
                    return None
                query = following
            if model is not None:
                query = query.where(COMPLETIONS.c.model == model)
            for name, value in (metadata or {}).items():
                query = query.where(_has(name, value))
            ordering = by_serial(serial, order)
            found = connection.execute(query.order_by(ordering).limit(limit + 1)).all()
            num = num_fitting([row.size for row in found[:limit]], max_bytes)
            chosen = select(COMPLETIONS.c.id, item).where(serial.in_([row.serial for row in found[:num]]))
            rows = connection.execute(chosen.order_by(ordering)).all()
            labels = _metadata(connection, [row.id for row in rows])
        return StoredPage(
            [StoredItem(row.id, row.item, labels[row.id]) for row in rows], has_more=len(found) > num
        )

    def set_metadata(self, project: str, completion_id: str, metadata: Mapping[str, str]) -> bool:
        with self._database.transaction() as connection:
            # Lock the row if the database supports it, so that concurrent updates don't mix their metadata.
            query = select(COMPLETIONS.c.id).where(*_is(project, completion_id)).with_for_update()
            if connection.scalar(query) is None:
                return False
            connection.execute(
                delete(COMPLETION_METADATA).where(COMPLETION_METADATA.c.completion_id == completion_id)
            )
            _write_metadata(connection, completion_id, metadata)
            return True

    def delete(self, project: str, completion_id: str) -> bool:
        with self._database.transaction() as connection:
            return connection.execute(delete(COMPLETIONS).where(*_is(project, completion_id))).rowcount > 0

    def usage(self, project: str) -> StoredUsage:
        query = select(func.count(), func.sum(_SIZE)).where(COMPLETIONS.c.project == project)
        with self._database.transaction() as connection:
            num_rows, num_bytes = connection.execute(query).one()
        return StoredUsage(num_rows, int(num_bytes or 0))

    def delete_older(self, created_before: int) -> int:
        serial, created = COMPLETIONS.c.serial, COMPLETIONS.c.created
        query = select(serial, _SIZE.label("size")).where(created < created_before)
        with self._database.transaction() as connection:
            found = connection.execute(query.order_by(created).limit(MAX_DELETED_ROWS)).all()
            num = num_fitting([row.size for row in found], MAX_DELETED_BYTES)
            if num:
                old = [row.serial for row in found[:num]]
                connection.execute(delete(COMPLETIONS).where(serial.in_(old)))
            return num

    def close(self) -> None:
        self._database.close()


def _is(project: str, completion_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return COMPLETIONS.c.project == project, COMPLETIONS.c.id == completion_id


def _has(name: str, value: str) -> ColumnElement[bool]:
    pairs = COMPLETION_METADATA.c
    found = select(pairs.name).where(
        pairs.completion_id == COMPLETIONS.c.id, pairs.name == name, pairs.value == value
    )
    return found.exists()


def _write_metadata(connection: Connection, completion_id: str, metadata: Mapping[str, str]) -> None:
    rows = [
        {"completion_id": completion_id, "name": name, "value": value} for name, value in metadata.items()
    ]
    if rows:
        connection.execute(insert(COMPLETION_METADATA), rows)


def _metadata(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """The metadata of each completion."""
    found: dict[str, dict[str, str]] = {completion_id: {} for completion_id in ids}
    pairs = COMPLETION_METADATA.c
    for pair in connection.execute(select(COMPLETION_METADATA).where(pairs.completion_id.in_(ids))):
        found[pair.completion_id][pair.name] = pair.value
    return found

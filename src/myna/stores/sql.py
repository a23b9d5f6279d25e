"""Stored completions in SQLite or PostgreSQL, through SQLAlchemy Core."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, insert, select

from myna.core.stored import CompletionStore, Order, StoredCompletion, StoredPage
from myna.stores.database import open_database
from myna.stores.tables import COMPLETION_METADATA, COMPLETIONS


def open_completions(url: str) -> CompletionStore:
    return SqlCompletions(open_database(url))


class SqlCompletions:
    """Each method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, completion: StoredCompletion) -> None:
        values = {
            name: getattr(completion, name)
            for name in ("id", "project", "created", "model", "item", "messages", "replay")
        }
        with self._engine.begin() as connection:
            connection.execute(delete(COMPLETIONS).where(COMPLETIONS.c.id == completion.id))
            connection.execute(insert(COMPLETIONS), values)
            _write_metadata(connection, completion.id, completion.metadata)

    def get(self, project: str, completion_id: str) -> StoredCompletion | None:
        with self._engine.connect() as connection:
            row = connection.execute(select(COMPLETIONS).where(*_is(project, completion_id))).first()
            return None if row is None else _with_metadata(connection, [row])[0]

    def page(
        self,
        project: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        model: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StoredPage | None:
        serial = COMPLETIONS.c.serial
        query = select(COMPLETIONS).where(COMPLETIONS.c.project == project)
        with self._engine.connect() as connection:
            if after is not None:
                start = connection.scalar(select(serial).where(*_is(project, after)))
                if start is None:
                    return None
                query = query.where(serial > start if order == "asc" else serial < start)
            if model is not None:
                query = query.where(COMPLETIONS.c.model == model)
            for name, value in (metadata or {}).items():
                query = query.where(_has(name, value))
            query = query.order_by(serial.asc() if order == "asc" else serial.desc()).limit(limit + 1)
            rows = connection.execute(query).all()
            return StoredPage(_with_metadata(connection, list(rows[:limit])), has_more=len(rows) > limit)

    def set_metadata(self, project: str, completion_id: str, metadata: Mapping[str, str]) -> bool:
        with self._engine.begin() as connection:
            # The row is locked where the database can, so that two updates don't mix their maps.
            query = select(COMPLETIONS.c.id).where(*_is(project, completion_id)).with_for_update()
            if connection.scalar(query) is None:
                return False
            connection.execute(
                delete(COMPLETION_METADATA).where(COMPLETION_METADATA.c.completion_id == completion_id)
            )
            _write_metadata(connection, completion_id, metadata)
            return True

    def delete(self, project: str, completion_id: str) -> bool:
        with self._engine.begin() as connection:
            return connection.execute(delete(COMPLETIONS).where(*_is(project, completion_id))).rowcount > 0

    def close(self) -> None:
        self._engine.dispose()


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


def _with_metadata(connection: Connection, rows: list[Row[Any]]) -> list[StoredCompletion]:
    found: dict[str, dict[str, str]] = {row.id: {} for row in rows}
    pairs = COMPLETION_METADATA.c
    for pair in connection.execute(select(COMPLETION_METADATA).where(pairs.completion_id.in_(list(found)))):
        found[pair.completion_id][pair.name] = pair.value
    return [
        StoredCompletion(
            id=row.id,
            project=row.project,
            created=row.created,
            model=row.model,
            item=row.item,
            messages=row.messages,
            replay=row.replay,
            metadata=found[row.id],
        )
        for row in rows
    ]

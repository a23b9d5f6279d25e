"""Batches in SQLite or PostgreSQL."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from myna.core.batches import CANCELLABLE, UNFINISHED, Batch, BatchPage
from myna.core.files import StoredFile
from myna.stores.database import GRACE_S, Database
from myna.stores.files_sql import add_files
from myna.stores.pages import only_after
from myna.stores.tables import BATCHES

_IS_UNFINISHED: Final = BATCHES.c.status.in_(UNFINISHED)


class SqlBatches:
    """Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, batch: Batch) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                insert(BATCHES), {name: getattr(batch, name) for name in Batch.__struct_fields__}
            )

    def get(self, project: str, batch_id: str) -> Batch | None:
        with self._database.transaction() as connection:
            return _find(connection, *_is(project, batch_id))

    def page(self, project: str, *, after: str | None = None, limit: int = 20) -> BatchPage | None:
        serial = BATCHES.c.serial
        query = select(BATCHES).where(BATCHES.c.project == project)
        with self._database.transaction() as connection:
            if after is not None:
                following = only_after(connection, query, serial, _is(project, after), "desc")
                if following is None:
                    return None
                query = following
            rows = connection.execute(query.order_by(serial.desc()).limit(limit + 1)).all()
        return BatchPage([_batch(row) for row in rows[:limit]], has_more=len(rows) > limit)

    def cancel(self, project: str, batch_id: str, now: int) -> Batch | None:
        with self._database.transaction() as connection:
            connection.execute(
                update(BATCHES)
                .where(*_is(project, batch_id), BATCHES.c.status.in_(CANCELLABLE))
                .values(status="cancelling", cancelling_at=now)
            )
            return _find(connection, *_is(project, batch_id))

    def claim(self, now: float, lease_until: float, busy: Collection[str] = ()) -> Batch | None:
        ended_before = now - GRACE_S if self._database.was_away else now
        free = select(BATCHES).where(_IS_UNFINISHED, BATCHES.c.lease_until < ended_before)
        if busy:
            free = free.where(BATCHES.c.project.not_in(busy))
        with self._database.transaction() as connection:
            # Another server that claims at the same time gets the next one, where the database can skip rows.
            query = free.order_by(BATCHES.c.serial).limit(1).with_for_update(skip_locked=True)
            row = connection.execute(query).first()
            if row is None:
                return None
            found = _batch(row)
            claimed = connection.execute(
                update(BATCHES).where(*_is_held(found)).values(epoch=found.epoch + 1, lease_until=lease_until)
            )
            return _find(connection, BATCHES.c.id == found.id) if claimed.rowcount else None

    def change(self, batch: Batch, **values: object) -> Batch | None:
        with self._database.transaction() as connection:
            status = values.pop("status", None)
            if (
                status is not None
                and not connection.execute(
                    update(BATCHES)
                    .where(*_is_held(batch), BATCHES.c.status != "cancelling")
                    .values(status=status, **values)
                ).rowcount
            ):
                status = None  # it is being cancelled
            if status is None and values:
                connection.execute(update(BATCHES).where(*_is_held(batch)).values(values))
            return _find(connection, *_is_held(batch))

    def finish(self, batch: Batch, files: Sequence[StoredFile], values: Mapping[str, object]) -> Batch | None:
        with self._database.transaction() as connection:
            finished = connection.execute(update(BATCHES).where(*_is_held(batch)).values(dict(values)))
            if not finished.rowcount:
                return None
            add_files(connection, files)
            return _find(connection, *_is_held(batch))

    def close(self) -> None:
        self._database.close()


def _is(project: str, batch_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return BATCHES.c.project == project, BATCHES.c.id == batch_id


def _is_held(batch: Batch) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return BATCHES.c.id == batch.id, BATCHES.c.epoch == batch.epoch


def _find(connection: Connection, *where: ColumnElement[bool]) -> Batch | None:
    row = connection.execute(select(BATCHES).where(*where)).first()
    return None if row is None else _batch(row)


def _batch(row: Row[Any]) -> Batch:
    values = row._asdict()
    return Batch(**{name: values[name] for name in Batch.__struct_fields__})

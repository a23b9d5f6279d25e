"""Stored responses in SQLite or PostgreSQL, with SQLAlchemy Core."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import Connection, Select, String, bindparam, delete, func, insert, literal, select, update

from myna.core.stored import MAX_DELETED_BYTES, MAX_DELETED_ROWS, StoredUsage, num_fitting
from myna.core.stored_responses import ACTIVE, MAX_HISTORY_BYTES, History, ResponseItem, StoredResponse
from myna.stores.database import Database
from myna.stores.response_items import (
    ITEM_BYTES,
    history_query,
    is_response,
    items_of,
    last_serial,
    read_history,
    remove_responses,
    write_items,
)
from myna.stores.tables import CONVERSATIONS, RESPONSE_EVENTS, RESPONSE_ITEMS, RESPONSES

_ITEM_OVERHEAD_BYTES: Final = 256
"""What a row of an item takes besides its JSON, about."""


_KNOWN: Final = select(RESPONSES.c.id).where(RESPONSES.c.id == bindparam("id"))


class SqlResponses:
    """Each method is one transaction."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def put(self, response: StoredResponse) -> None:
        now = int(self._clock())
        with self._database.changes(is_synced=response.status in ACTIVE) as connection:
            if connection.scalar(_KNOWN, {"id": response.id}) is not None:
                remove_responses(connection, [response.id])  # stored by an earlier attempt
            if response.history and not _is_there(connection, response.project, response.previous_id):
                response = _detached(response)
            connection.execute(
                insert(RESPONSES),
                {
                    "id": response.id,
                    "project": response.project,
                    "created": response.created,
                    "model": response.model,
                    "status": response.status,
                    "body": response.body,
                    "previous_id": response.previous_id,
                    "conversation_id": response.conversation_id,
                    "conversation_serial": last_serial(connection, response.conversation_id),
                    "runner": response.runner or None,
                    "ended": None if response.status in ACTIVE else now,
                    "is_deleted": False,
                },
            )
            write_items(connection, response, now)

    def get(self, project: str, response_id: str) -> StoredResponse | None:
        items = RESPONSE_ITEMS.c
        output = select(items.id, items.item).where(items.response_id == response_id, items.is_output)
        with self._database.transaction() as connection:
            row = connection.execute(select(RESPONSES).where(is_response(project, response_id))).first()
            if row is None:
                return None
            found = connection.execute(output.order_by(items.serial)).all()
        return stored_response(row, items_of(found))

    def delete(self, project: str, response_id: str) -> bool:
        with self._database.changes() as connection:
            query = select(RESPONSES.c.previous_id).where(is_response(project, response_id))
            row = connection.execute(query.with_for_update()).first()
            if row is None:
                return False
            if _is_continued(connection, response_id):
                hidden = update(RESPONSES).where(RESPONSES.c.id == response_id)
                connection.execute(hidden.values(is_deleted=True, body=b""))
                events = delete(RESPONSE_EVENTS).where(RESPONSE_EVENTS.c.response_id == response_id)
                connection.execute(events)
            else:
                remove_responses(connection, [response_id])
                _remove_hidden(connection, row.previous_id)
            return True

    def history(self, project: str, response_id: str, *, with_output: bool = True) -> History | None:
        with self._database.transaction() as connection:
            return read_history(connection, _HISTORY if with_output else _CONTEXT, project, response_id)

    def items(
        self, project: str, ids: Sequence[str], *, max_bytes: int = MAX_HISTORY_BYTES
    ) -> Mapping[str, ResponseItem] | None:
        items = RESPONSE_ITEMS.c
        hidden = select(RESPONSES.c.id).where(RESPONSES.c.id == items.response_id, RESPONSES.c.is_deleted)
        newest = select(func.max(items.serial)).where(
            items.project == project,
            items.id.in_(ids),
            items.conversation_id.is_not(None) | ~hidden.exists(),
        )
        is_newest = items.serial.in_(newest.group_by(items.id))
        with self._database.transaction() as connection:
            sizes = connection.execute(select(items.id, ITEM_BYTES.label("size")).where(is_newest)).all()
            named = Counter(ids)
            if sum(row.size * named[row.id] for row in sizes) > max_bytes:
                return None
            found = connection.execute(select(items.id, items.item).where(is_newest)).all()
        return {item.id: item for item in items_of(found)}

    def usage(self, project: str) -> StoredUsage:
        with self._database.transaction() as connection:
            return _usage(connection, project)

    def delete_older(self, created_before: int) -> int:
        with self._database.changes() as connection:
            return _delete_old_responses(connection, created_before) or _delete_old_conversation(
                connection, created_before
            )

    def close(self) -> None:
        self._database.close()


def stored_response(row: Any, output: Sequence[ResponseItem] = ()) -> StoredResponse:
    return StoredResponse(
        id=row.id,
        project=row.project,
        created=row.created,
        model=row.model,
        status=row.status,
        body=row.body,
        output=output,
        previous_id=row.previous_id,
        conversation_id=row.conversation_id,
        runner=row.runner or "",
    )


def _context(*, with_output: bool) -> Select[Any]:
    """The rows for `history_query`: the chain's items, and those that were in a conversation when the chain
    began there. The last response is generation 0, the one before it -1."""
    columns = RESPONSES.c
    project = bindparam("project", type_=String())
    carried = (
        columns.id,
        columns.previous_id,
        columns.conversation_id,
        columns.conversation_serial,
        columns.status,
    )
    last = select(*carried, literal(0).label("generation")).where(is_response(project, bindparam("id")))
    chain = last.cte("chain", recursive=True)
    chain = chain.union_all(
        select(*carried, chain.c.generation - 1).where(
            columns.id == chain.c.previous_id, columns.project == project
        )
    )
    items = RESPONSE_ITEMS.c
    shown = (chain.c.generation, chain.c.previous_id, chain.c.status)
    of_response = items.response_id == chain.c.id
    if not with_output:
        of_response &= (chain.c.generation < 0) | ~items.is_output
    before = (items.conversation_id == chain.c.conversation_id) & (
        items.serial <= chain.c.conversation_serial
    )
    item = (func.coalesce(items.serial, 0).label("serial"), items.id, items.item)
    own = select(*shown, literal(1).label("part"), *item)
    earlier = select(*shown, literal(0).label("part"), *item)
    return own.select_from(chain.outerjoin(RESPONSE_ITEMS, of_response)).union_all(  # type: ignore[return-value]
        earlier.select_from(chain.join(RESPONSE_ITEMS, before))
    )


_HISTORY: Final = history_query(_context(with_output=True))
_CONTEXT: Final = history_query(_context(with_output=False))


def _is_there(connection: Connection, project: str, response_id: str | None) -> bool:
    """Whether the response can be continued; if so, it stays until this transaction ends."""
    kept = select(RESPONSES.c.id).where(RESPONSES.c.project == project, RESPONSES.c.id == response_id)
    return connection.scalar(kept.with_for_update(read=True, key_share=True)) is not None


def _detached(response: StoredResponse) -> StoredResponse:
    """The response as the beginning of a chain: the one before it has been deleted meanwhile."""
    return replace(response, input=[*response.history, *response.input], previous_id=None)


def _is_continued(connection: Connection, response_id: str) -> bool:
    query = select(RESPONSES.c.id).where(RESPONSES.c.previous_id == response_id).limit(1)
    return connection.scalar(query) is not None


def _remove_hidden(connection: Connection, response_id: str | None) -> None:
    """Remove deleted responses up the chain that were only kept for the one that is gone."""
    while response_id is not None:
        query = select(RESPONSES.c.previous_id).where(RESPONSES.c.id == response_id, RESPONSES.c.is_deleted)
        row = connection.execute(query.with_for_update()).first()
        if row is None or _is_continued(connection, response_id):
            return
        remove_responses(connection, [response_id])
        response_id = row.previous_id


def _usage(connection: Connection, project: str) -> StoredUsage:
    responses = select(func.count(), func.sum(func.length(RESPONSES.c.body))).where(
        RESPONSES.c.project == project
    )
    conversations = select(func.count(), func.sum(func.length(CONVERSATIONS.c.metadata))).where(
        CONVERSATIONS.c.project == project
    )
    items = select(func.count(), func.sum(ITEM_BYTES)).where(RESPONSE_ITEMS.c.project == project)
    num_rows = num_bytes = 0
    for query in (responses, conversations):
        rows, size = connection.execute(query).one()
        num_rows, num_bytes = num_rows + rows, num_bytes + int(size or 0)
    num_items, size = connection.execute(items).one()
    return StoredUsage(num_rows, num_bytes + int(size or 0) + num_items * _ITEM_OVERHEAD_BYTES)


def _delete_old_responses(connection: Connection, created_before: int) -> int:
    """Responses at the ends of chains, then those that have become the ends."""
    columns, later = RESPONSES.c, RESPONSES.alias()
    size = select(func.coalesce(func.sum(ITEM_BYTES), 0)).where(RESPONSE_ITEMS.c.response_id == columns.id)
    ends = select(columns.id, size.scalar_subquery().label("size")).where(
        columns.created < created_before,
        ~select(later.c.id).where(later.c.previous_id == columns.id).exists(),
    )
    num_rows = num_bytes = 0
    while num_rows < MAX_DELETED_ROWS and num_bytes < MAX_DELETED_BYTES:
        oldest = ends.order_by(columns.created).limit(MAX_DELETED_ROWS - num_rows)
        candidates = connection.execute(oldest.with_for_update(skip_locked=True)).all()
        # Continued since the query began; from now on, the locks prevent it.
        continued = select(columns.previous_id).where(columns.previous_id.in_([row.id for row in candidates]))
        kept = set(connection.scalars(continued)) if candidates else set()
        found = [row for row in candidates if row.id not in kept]
        if not found:
            break
        num = num_fitting([row.size for row in found], MAX_DELETED_BYTES - num_bytes)
        remove_responses(connection, [row.id for row in found[:num]])
        num_rows += num
        num_bytes += sum(row.size for row in found[:num])
    return num_rows


def _delete_old_conversation(connection: Connection, updated_before: int) -> int:
    """The oldest one that no response needs, or some of its items if there are many."""
    columns, items = CONVERSATIONS.c, RESPONSE_ITEMS.c
    needed = select(RESPONSES.c.id).where(RESPONSES.c.conversation_id == columns.id)
    oldest = select(columns.id).where(columns.updated < updated_before, ~needed.exists())
    conversation_id = connection.scalar(oldest.order_by(columns.updated).limit(1))
    if conversation_id is None:
        return 0
    query = select(items.serial, ITEM_BYTES.label("size")).where(items.conversation_id == conversation_id)
    found = connection.execute(query.limit(MAX_DELETED_ROWS)).all()
    num = num_fitting([row.size for row in found], MAX_DELETED_BYTES)
    connection.execute(delete(RESPONSE_ITEMS).where(items.serial.in_([row.serial for row in found[:num]])))
    if num < len(found) or len(found) == MAX_DELETED_ROWS:
        connection.execute(update(CONVERSATIONS).where(columns.id == conversation_id).values(is_deleted=True))
        return num
    connection.execute(delete(CONVERSATIONS).where(columns.id == conversation_id))
    return num + 1

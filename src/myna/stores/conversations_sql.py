"""Conversations in SQLite or PostgreSQL, with SQLAlchemy Core."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, bindparam, delete, func, insert, literal, null, select, update

from myna.core.stored import MAX_PAGE_BYTES, Order, num_fitting
from myna.core.stored_responses import History, ItemPage, ResponseItem, StoredConversation
from myna.stores.background_sql import living_runners
from myna.stores.database import Database
from myna.stores.pages import by_serial, only_after
from myna.stores.response_items import (
    ITEM_BYTES,
    append_items,
    history_query,
    is_conversation,
    items_of,
    read_history,
)
from myna.stores.tables import CONVERSATIONS, RESPONSE_ITEMS


class SqlConversations:
    """Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, conversation: StoredConversation, items: Sequence[ResponseItem] = ()) -> None:
        created = conversation.created
        values = {
            "id": conversation.id,
            "project": conversation.project,
            "created": created,
            "updated": created,
            "metadata": msgspec.json.encode(conversation.metadata),
            "is_deleted": False,
        }
        with self._database.transaction() as connection:
            connection.execute(insert(CONVERSATIONS), values)
            append_items(connection, conversation.project, conversation.id, items, created)

    def get(self, project: str, conversation_id: str) -> StoredConversation | None:
        query = select(CONVERSATIONS).where(is_conversation(project, conversation_id))
        with self._database.transaction() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        metadata = msgspec.json.decode(row.metadata, type=dict[str, str])
        return StoredConversation(row.id, row.project, row.created, metadata)

    def set_metadata(self, project: str, conversation_id: str, metadata: Mapping[str, str]) -> bool:
        changed = update(CONVERSATIONS).where(is_conversation(project, conversation_id))
        with self._database.transaction() as connection:
            encoded = msgspec.json.encode(metadata)
            return connection.execute(changed.values(metadata=encoded)).rowcount > 0

    def delete(self, project: str, conversation_id: str) -> bool:
        changed = update(CONVERSATIONS).where(is_conversation(project, conversation_id))
        with self._database.transaction() as connection:
            return connection.execute(changed.values(is_deleted=True, metadata=b"{}")).rowcount > 0

    def add(self, project: str, conversation_id: str, items: Sequence[ResponseItem], *, now: int) -> bool:
        with self._database.transaction() as connection:
            return append_items(connection, project, conversation_id, items, now)

    def page(
        self,
        project: str,
        conversation_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> ItemPage | None:
        columns = RESPONSE_ITEMS.c
        of_it = columns.conversation_id == conversation_id
        query = select(columns.serial, ITEM_BYTES.label("size")).where(of_it)
        exists = select(CONVERSATIONS.c.id).where(is_conversation(project, conversation_id))
        with self._database.transaction() as connection:
            if connection.scalar(exists) is None:
                return None
            if after is not None:
                place = (of_it, *_is(project, after))
                following = only_after(connection, query, columns.serial, place, order)
                if following is None:
                    return None
                query = following
            ordering = by_serial(columns.serial, order)
            found = connection.execute(query.order_by(ordering).limit(limit + 1)).all()
            num = num_fitting([row.size for row in found[:limit]], max_bytes)
            chosen = select(columns.id, columns.item).where(
                columns.serial.in_([row.serial for row in found[:num]])
            )
            rows = connection.execute(chosen.order_by(ordering)).all()
        return ItemPage(items_of(rows), has_more=len(found) > num)

    def item(self, project: str, conversation_id: str, item_id: str) -> ResponseItem | None:
        columns = RESPONSE_ITEMS.c
        exists = select(CONVERSATIONS.c.id).where(is_conversation(project, conversation_id)).exists()
        query = select(columns.id, columns.item).where(
            columns.conversation_id == conversation_id, *_is(project, item_id), exists
        )
        with self._database.transaction() as connection:
            found = items_of(connection.execute(query).all())
        return found[0] if found else None

    def delete_item(self, project: str, conversation_id: str, item_id: str) -> bool:
        columns = RESPONSE_ITEMS.c
        exists = select(CONVERSATIONS.c.id).where(is_conversation(project, conversation_id)).exists()
        of_it = (columns.conversation_id == conversation_id, *_is(project, item_id), exists)
        kept = update(RESPONSE_ITEMS).where(*of_it, columns.response_id.is_not(None))
        with self._database.transaction() as connection:
            if connection.execute(kept.values(conversation_id=None)).rowcount:
                return True
            return connection.execute(delete(RESPONSE_ITEMS).where(*of_it)).rowcount > 0

    def history(self, project: str, conversation_id: str) -> History | None:
        with self._database.transaction() as connection:
            return read_history(connection, _HISTORY, project, conversation_id)

    def lock(self, project: str, conversation_id: str, owner: str, runner: str) -> bool:
        columns = CONVERSATIONS.c
        with self._database.transaction() as connection:
            is_free: ColumnElement[bool] = columns.locked_by.is_(None)
            if not self._database.was_away:
                is_free |= columns.runner.not_in(living_runners(connection))
            locked = update(CONVERSATIONS).where(is_conversation(project, conversation_id), is_free)
            return connection.execute(locked.values(locked_by=owner, runner=runner)).rowcount > 0

    def unlock(self, conversation_id: str, owner: str) -> None:
        columns = CONVERSATIONS.c
        locked = update(CONVERSATIONS).where(columns.id == conversation_id, columns.locked_by == owner)
        with self._database.transaction() as connection:
            connection.execute(locked.values(locked_by=None, runner=None))

    def close(self) -> None:
        self._database.close()


def _is(project: str, item_id: str) -> tuple[Any, Any]:
    return RESPONSE_ITEMS.c.project == project, RESPONSE_ITEMS.c.id == item_id


def _context() -> Select[Any]:
    """The rows for `history_query`."""
    items = RESPONSE_ITEMS.c
    of_it = items.conversation_id == CONVERSATIONS.c.id
    return (
        select(
            literal(0).label("generation"),
            literal(0).label("part"),
            null().label("previous_id"),
            literal("completed").label("status"),
            func.coalesce(items.serial, 0).label("serial"),
            items.id,
            items.item,
        )
        .select_from(CONVERSATIONS.outerjoin(RESPONSE_ITEMS, of_it))
        .where(is_conversation(bindparam("project"), bindparam("id")))
    )


_HISTORY: Final = history_query(_context())

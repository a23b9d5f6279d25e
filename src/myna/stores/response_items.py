"""The rows of responses' and conversations' items: what the three stores of the Responses API share."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, insert, select, update

from myna.core.stored_responses import ACTIVE, MAX_HISTORY_BYTES, History, ResponseItem, StoredResponse
from myna.stores.tables import CONVERSATIONS, RESPONSE_EVENTS, RESPONSE_ITEMS, RESPONSES

IS_ACTIVE: Final = RESPONSES.c.status.in_(sorted(ACTIVE))
ITEM_BYTES: Final = func.length(RESPONSE_ITEMS.c.item)
_JOINS_CONVERSATION: Final = ("completed", "incomplete")


def is_conversation(project: object, conversation_id: object) -> ColumnElement[bool]:
    columns = CONVERSATIONS.c
    return (columns.project == project) & (columns.id == conversation_id) & ~columns.is_deleted


def is_response(project: object, response_id: object) -> ColumnElement[bool]:
    columns = RESPONSES.c
    return (columns.project == project) & (columns.id == response_id) & ~columns.is_deleted


def items_of(rows: Sequence[Any]) -> list[ResponseItem]:
    return [ResponseItem(row.id, row.item) for row in rows]


def last_serial(connection: Connection, conversation_id: str | None) -> int:
    """The serial of the conversation's last item; 0 without one."""
    if conversation_id is None:
        return 0
    last = select(func.max(RESPONSE_ITEMS.c.serial)).where(
        RESPONSE_ITEMS.c.conversation_id == conversation_id
    )
    return connection.scalar(last) or 0


def write_items(connection: Connection, response: StoredResponse, now: int) -> None:
    """Insert the items of a response. If it has ended, its conversation is unlocked; if it has ended well,
    all its items become part of that."""
    given = [(item, False) for item in response.input] + [(item, True) for item in response.output]
    rows = [
        _values(response.project, item, response_id=response.id, is_output=is_output)
        for item, is_output in given
    ]
    if rows:
        connection.execute(insert(RESPONSE_ITEMS), rows)
    if response.conversation_id is None or response.status in ACTIVE:
        return
    if response.status in _JOINS_CONVERSATION:
        _join_conversation(connection, response.project, response.id, response.conversation_id, now)
    columns = CONVERSATIONS.c
    locked = (columns.id == response.conversation_id) & (columns.locked_by == response.id)
    connection.execute(update(CONVERSATIONS).where(locked).values(locked_by=None, runner=None))


def _join_conversation(
    connection: Connection, project: str, response_id: str, conversation_id: str, now: int
) -> None:
    """Make the response's items part of the conversation."""
    items = RESPONSE_ITEMS.c
    query = select(items.serial, items.id).where(items.response_id == response_id)
    own = {row.id: row.serial for row in connection.execute(query.order_by(items.serial.desc()))}
    new = new_ids(connection, project, conversation_id, list(own), now)
    joined = update(RESPONSE_ITEMS).where(items.serial.in_([own[item_id] for item_id in new]))
    connection.execute(joined.values(conversation_id=conversation_id))


def append_items(
    connection: Connection, project: str, conversation_id: str, items: Sequence[ResponseItem], now: int
) -> bool:
    """Insert items of a conversation that belong to no response; False if there is no such conversation."""
    new = new_ids(connection, project, conversation_id, [item.id for item in items], now)
    chosen = {item.id: item for item in items if item.id in new}
    rows = [_values(project, item, conversation_id=conversation_id) for item in chosen.values()]
    if rows:
        connection.execute(insert(RESPONSE_ITEMS), rows)
    return bool(rows) or _exists(connection, project, conversation_id)


def new_ids(
    connection: Connection, project: str, conversation_id: str, ids: Sequence[str], now: int
) -> set[str]:
    """Those of the ids that the conversation doesn't contain yet; none if there is no such conversation.
    Others that add to it wait for this transaction."""
    changed = update(CONVERSATIONS).where(is_conversation(project, conversation_id)).values(updated=now)
    if not connection.execute(changed).rowcount:
        return set()
    known = select(RESPONSE_ITEMS.c.id).where(
        RESPONSE_ITEMS.c.project == project,
        RESPONSE_ITEMS.c.id.in_(ids),
        RESPONSE_ITEMS.c.conversation_id == conversation_id,
    )
    return set(ids) - set(connection.scalars(known))


def remove_responses(connection: Connection, ids: Sequence[str]) -> None:
    """Delete responses with their items, except those that are part of a conversation."""
    items = RESPONSE_ITEMS.c
    of_them = items.response_id.in_(ids)
    connection.execute(
        update(RESPONSE_ITEMS).where(of_them, items.conversation_id.is_not(None)).values(response_id=None)
    )
    connection.execute(delete(RESPONSE_ITEMS).where(of_them))
    connection.execute(delete(RESPONSE_EVENTS).where(RESPONSE_EVENTS.c.response_id.in_(ids)))
    connection.execute(delete(RESPONSES).where(RESPONSES.c.id.in_(ids)))


def history_query(context: Select[Any]) -> Select[Any]:
    """The newest of the rows of `context` that fit into `max_bytes`, oldest first. They are sorted by
    `generation`, `part` and `serial`; one without an item only states that its response or conversation
    exists. To be built once, since that takes longer than running it."""
    rows = context.subquery()
    order = (rows.c.generation, rows.c.part, rows.c.serial)
    size = func.coalesce(func.length(rows.c.item), 0)
    newer_bytes = func.sum(size).over(order_by=[column.desc() for column in order]).label("newer_bytes")
    summed = select(rows, newer_bytes, func.sum(size).over().label("all_bytes")).subquery()
    columns = summed.c
    chosen = select(summed).where(columns.newer_bytes <= bindparam("max_bytes"))
    return chosen.order_by(columns.generation, columns.part, columns.serial)


def read_history(connection: Connection, query: Select[Any], project: str, id: str) -> History | None:
    """Run a `history_query` for the response or conversation with that id. None if there is none, or if a
    response of the chain is missing."""
    values = {"project": project, "id": id, "max_bytes": MAX_HISTORY_BYTES}
    found = connection.execute(query, values).all()
    if not found:
        return None
    is_complete = found[0].all_bytes <= MAX_HISTORY_BYTES
    if is_complete and found[0].previous_id is not None:
        return None
    return History(items_of([row for row in found if row.item is not None]), found[-1].status, is_complete)


def _values(
    project: str,
    item: ResponseItem,
    *,
    response_id: str | None = None,
    conversation_id: str | None = None,
    is_output: bool = False,
) -> dict[str, Any]:
    return {
        "id": item.id,
        "project": project,
        "response_id": response_id,
        "conversation_id": conversation_id,
        "is_output": is_output,
        "item": item.json,
    }


def _exists(connection: Connection, project: str, conversation_id: str) -> bool:
    return (
        connection.scalar(select(CONVERSATIONS.c.id).where(is_conversation(project, conversation_id)))
        is not None
    )

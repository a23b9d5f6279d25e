"""Stored responses and conversations in memory, lost when the process ends."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from myna.core.stored import MAX_DELETED_ROWS, MAX_PAGE_BYTES, Order, StoredUsage, num_fitting
from myna.core.stored_responses import (
    ACTIVE,
    MAX_BATCHES,
    MAX_HISTORY_BYTES,
    EventBatch,
    History,
    ItemPage,
    ResponseItem,
    ResponseStatus,
    StoredConversation,
    StoredResponse,
)
from myna.stores.pages import rows_after


@dataclass(slots=True)
class _Conversation:
    """`items` may also belong to responses. `locked_by` is the request that uses it."""

    row: StoredConversation
    updated: int
    items: list[ResponseItem] = field(default_factory=list)
    locked_by: str | None = None
    runner: str = ""
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class _Response:
    """`earlier` is what was in the conversation before the response."""

    row: StoredResponse
    earlier: Sequence[ResponseItem] = ()
    ended: float | None = None
    is_deleted: bool = False


@dataclass(slots=True)
class MemoryConversational:
    """What the three stores share."""

    clock: Callable[[], float] = time.time
    responses: dict[str, _Response] = field(default_factory=dict)
    conversations: dict[str, _Conversation] = field(default_factory=dict)
    events: dict[str, list[EventBatch]] = field(default_factory=dict)
    runners: dict[str, float] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def response(self, project: str, response_id: str) -> _Response | None:
        found = self.responses.get(response_id)
        return found if found and found.row.project == project and not found.is_deleted else None

    def conversation(self, project: str, conversation_id: str | None) -> _Conversation | None:
        found = self.conversations.get(conversation_id or "")
        return found if found and found.row.project == project and not found.is_deleted else None

    def put(self, row: StoredResponse, earlier: Sequence[ResponseItem] | None = None) -> None:
        if row.history and row.previous_id not in self.responses:
            row = msgspec.structs.replace(row, input=[*row.history, *row.input], previous_id=None)
        row = msgspec.structs.replace(row, history=())
        conversation = self.conversation(row.project, row.conversation_id)
        if earlier is None:
            earlier = tuple(conversation.items) if conversation else ()
        if conversation is not None and row.status in ("completed", "incomplete"):
            append(conversation, [*row.input, *row.output], int(self.clock()))
        if conversation is not None and row.status not in ACTIVE and conversation.locked_by == row.id:
            conversation.locked_by = None
        self.responses[row.id] = _Response(row, earlier, None if row.status in ACTIVE else self.clock())

    def is_continued(self, response_id: str) -> bool:
        return any(other.row.previous_id == response_id for other in self.responses.values())

    def is_alive(self, runner: str) -> bool:
        return self.runners.get(runner, 0.0) > self.clock()


class MemoryResponses:
    """Responses in a dict."""

    def __init__(self, shared: MemoryConversational | None = None) -> None:
        self._shared = shared or MemoryConversational()

    def put(self, response: StoredResponse) -> None:
        with self._shared.lock:
            self._shared.put(response)

    def get(self, project: str, response_id: str) -> StoredResponse | None:
        found = self._shared.response(project, response_id)
        return None if found is None else msgspec.structs.replace(found.row, input=())

    def delete(self, project: str, response_id: str) -> bool:
        with self._shared.lock:
            found = self._shared.response(project, response_id)
            if found is None:
                return False
            hidden = replace(found, row=msgspec.structs.replace(found.row, body=b""), is_deleted=True)
            self._shared.responses[response_id] = hidden
            self._shared.events.pop(response_id, None)
            previous: str | None = response_id
            while previous is not None and not self._shared.is_continued(previous):
                last = self._shared.responses.get(previous)
                if last is None or not last.is_deleted:
                    break
                self._remove(previous)
                previous = last.row.previous_id
            return True

    def history(self, project: str, response_id: str, *, with_output: bool = True) -> History | None:
        with self._shared.lock:
            found = self._shared.response(project, response_id)
            if found is None:
                return None
            status = found.row.status
            items = [*found.row.input, *(found.row.output if with_output else ())]
            while found.row.previous_id is not None:
                found = self._shared.responses.get(found.row.previous_id)
                if found is None or found.row.project != project:
                    return None
                items = [*found.row.input, *found.row.output, *items]
            return _newest([*found.earlier, *items], status)

    def items(
        self, project: str, ids: Sequence[str], *, max_bytes: int = MAX_HISTORY_BYTES
    ) -> Mapping[str, ResponseItem] | None:
        shared, wanted = self._shared, frozenset(ids)
        with shared.lock:
            of_conversations = [
                one.items for one in shared.conversations.values() if one.row.project == project
            ]
            of_responses = [
                [*one.row.input, *one.row.output]
                for one in shared.responses.values()
                if one.row.project == project and not one.is_deleted
            ]
        found = {
            item.id: item
            for items in (*of_conversations, *of_responses)
            for item in items
            if item.id in wanted
        }
        num_bytes = sum(len(found[item_id].json) for item_id in ids if item_id in found)
        return found if num_bytes <= max_bytes else None

    def usage(self, project: str) -> StoredUsage:
        shared = self._shared
        with shared.lock:
            rows = [one.row for one in shared.responses.values() if one.row.project == project]
            kept = [one for one in shared.conversations.values() if one.row.project == project]
        items = [item for row in rows for item in (*row.input, *row.output)]
        items += [item for one in kept for item in one.items]
        num_bytes = sum(len(row.body) for row in rows) + sum(len(item.json) for item in items)
        return StoredUsage(len(rows) + len(kept), num_bytes)

    def delete_older(self, created_before: int) -> int:
        shared, num_deleted = self._shared, 0
        with shared.lock:
            while old := [
                one.row.id
                for one in shared.responses.values()
                if one.row.created < created_before and not shared.is_continued(one.row.id)
            ][: MAX_DELETED_ROWS - num_deleted]:
                for response_id in old:
                    self._remove(response_id)
                num_deleted += len(old)
            needed = {one.row.conversation_id for one in shared.responses.values()}
            unused = [
                one.row.id
                for one in shared.conversations.values()
                if one.updated < created_before and one.row.id not in needed
            ][: MAX_DELETED_ROWS - num_deleted]
            for conversation_id in unused:
                del shared.conversations[conversation_id]
        return num_deleted + len(unused)

    def close(self) -> None:
        """Nothing to close."""

    def _remove(self, response_id: str) -> None:
        del self._shared.responses[response_id]
        self._shared.events.pop(response_id, None)


class MemoryConversations:
    """Conversations in a dict."""

    def __init__(self, shared: MemoryConversational | None = None) -> None:
        self._shared = shared or MemoryConversational()

    def create(self, conversation: StoredConversation, items: Sequence[ResponseItem] = ()) -> None:
        created = _Conversation(conversation, conversation.created)
        append(created, items, conversation.created)
        with self._shared.lock:
            self._shared.conversations[conversation.id] = created

    def get(self, project: str, conversation_id: str) -> StoredConversation | None:
        found = self._shared.conversation(project, conversation_id)
        return None if found is None else found.row

    def set_metadata(self, project: str, conversation_id: str, metadata: Mapping[str, str]) -> bool:
        with self._shared.lock:
            found = self._shared.conversation(project, conversation_id)
            if found is not None:
                found.row = msgspec.structs.replace(found.row, metadata=dict(metadata))
            return found is not None

    def delete(self, project: str, conversation_id: str) -> bool:
        with self._shared.lock:
            found = self._shared.conversation(project, conversation_id)
            if found is not None:
                found.is_deleted = True
            return found is not None

    def add(self, project: str, conversation_id: str, items: Sequence[ResponseItem], *, now: int) -> bool:
        with self._shared.lock:
            found = self._shared.conversation(project, conversation_id)
            if found is not None:
                append(found, items, now)
            return found is not None

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
        with self._shared.lock:
            found = self._shared.conversation(project, conversation_id)
            items = None if found is None else rows_after(found.items, after, order)
        if items is None:
            return None
        num = num_fitting([len(item.json) for item in items[:limit]], max_bytes)
        return ItemPage(items[:num], has_more=len(items) > num)

    def item(self, project: str, conversation_id: str, item_id: str) -> ResponseItem | None:
        with self._shared.lock:
            found = self._shared.conversation(project, conversation_id)
            items = [] if found is None else found.items
            return next((item for item in items if item.id == item_id), None)

    def delete_item(self, project: str, conversation_id: str, item_id: str) -> bool:
        with self._shared.lock:
            found = self._shared.conversation(project, conversation_id)
            item = self.item(project, conversation_id, item_id)
            if found is None or item is None:
                return False
            found.items.remove(item)
            return True

    def history(self, project: str, conversation_id: str) -> History | None:
        with self._shared.lock:
            found = self._shared.conversation(project, conversation_id)
            return None if found is None else _newest(found.items, "completed")

    def lock(self, project: str, conversation_id: str, owner: str, runner: str) -> bool:
        with self._shared.lock:
            found = self._shared.conversation(project, conversation_id)
            if found is None or (found.locked_by is not None and self._shared.is_alive(found.runner)):
                return False
            found.locked_by, found.runner = owner, runner
            return True

    def unlock(self, conversation_id: str, owner: str) -> None:
        with self._shared.lock:
            found = self._shared.conversations.get(conversation_id)
            if found is not None and found.locked_by == owner:
                found.locked_by = None

    def close(self) -> None:
        """Nothing to close."""


class MemoryBackground:
    """Background responses of the process."""

    def __init__(self, shared: MemoryConversational | None = None) -> None:
        self._shared = shared or MemoryConversational()

    def finish(self, response: StoredResponse) -> bool:
        with self._shared.lock:
            found = self._shared.response(response.project, response.id)
            if found is None or found.row.status not in ACTIVE:
                return False
            begun = found.row
            ended = msgspec.structs.replace(
                response, input=begun.input, previous_id=begun.previous_id, runner=""
            )
            self._shared.put(ended, found.earlier)
            return True

    def progress(self, response_id: str, body: bytes) -> bool:
        with self._shared.lock:
            found = self._shared.responses.get(response_id)
            if found is None or found.is_deleted or found.row.status not in ACTIVE:
                return False
            row = msgspec.structs.replace(found.row, status="in_progress", body=body)
            self._shared.responses[response_id] = replace(found, row=row)
            return True

    def heartbeat(self, runner: str, lease_s: float) -> frozenset[str]:
        with self._shared.lock:
            self._shared.runners[runner] = self._shared.clock() + lease_s
            active = [one for one in self._shared.responses.values() if one.ended is None]
            return frozenset(one.row.id for one in active if one.row.runner == runner and not one.is_deleted)

    def is_alive(self, runner: str) -> bool:
        return self._shared.is_alive(runner)

    def add_events(self, response_id: str, batch: EventBatch) -> None:
        with self._shared.lock:
            found = self._shared.responses.get(response_id)
            if found is not None and not found.is_deleted:
                self._shared.events.setdefault(response_id, []).append(batch)

    def events(self, response_id: str, after: int) -> Sequence[EventBatch]:
        with self._shared.lock:
            batches = list(self._shared.events.get(response_id, ()))
        return [batch for batch in batches if batch.last > after][:MAX_BATCHES]

    def delete_events(self, ended_before: int) -> None:
        shared = self._shared
        with shared.lock:
            for response_id in list(shared.events):
                found = shared.responses.get(response_id)
                if found is None or (found.ended is not None and found.ended < ended_before):
                    del shared.events[response_id]

    def close(self) -> None:
        """Nothing to close."""


def append(conversation: _Conversation, items: Sequence[ResponseItem], now: int) -> None:
    """Add the items that the conversation doesn't contain yet."""
    known = {item.id for item in conversation.items}
    for item in items:
        if item.id not in known:
            conversation.items.append(item)
            known.add(item.id)
    conversation.updated = now


def _newest(items: Sequence[ResponseItem], status: ResponseStatus) -> History:
    newest = num_fitting([0, *(len(item.json) for item in reversed(items))], MAX_HISTORY_BYTES) - 1
    return History(items[len(items) - newest :], status, is_complete=newest == len(items))

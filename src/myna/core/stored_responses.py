"""Stored responses, conversations and their items (the Responses API), and the interfaces of their stores."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from myna.core.stored import MAX_PAGE_BYTES, LimitedStore, Order

ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]

ACTIVE: Final[frozenset[ResponseStatus]] = frozenset(("queued", "in_progress"))
"""A background response has one of these until it ends."""

MAX_HISTORY_BYTES: Final = 32 << 20
"""Only the newest items of a longer history are loaded."""

MAX_BATCHES: Final = 16
"""Of events, read at once: a reader of a long stream must not hold all of it."""


class ResponseItem(msgspec.Struct, frozen=True):
    """An input or output item. `json` is the item as the API shows it, with its id. Clients may choose ids,
    so only those of a conversation's items are unique."""

    id: str
    json: bytes


class StoredResponse(msgspec.Struct, frozen=True):
    """A response. It belongs to `project`: to others it doesn't exist.

    `body` is the response object as the API shows it, as JSON with an empty `output`. `input` is what the
    request itself contained. `previous_id` is the response that it continues, `history` are the items of that
    one's chain: they become part of the input if the previous response has been deleted meanwhile. If it has
    a `conversation_id`, its items are added to that conversation when it is completed or incomplete. `runner`
    is the server that generates a background response.
    """

    id: str
    project: str
    created: int
    model: str
    status: ResponseStatus
    body: bytes
    input: Sequence[ResponseItem] = ()
    output: Sequence[ResponseItem] = ()
    previous_id: str | None = None
    conversation_id: str | None = None
    runner: str = ""
    history: Sequence[ResponseItem] = ()

    @property
    def num_bytes(self) -> int:
        """What it takes in the store if the previous response is still there."""
        return len(self.body) + sum(len(item.json) for item in (*self.input, *self.output))


class History(msgspec.Struct, frozen=True):
    """The items that a request continues, oldest first. `status` is that of the response they end with.
    `is_complete`: no old items were left out because of `MAX_HISTORY_BYTES`."""

    items: Sequence[ResponseItem]
    status: ResponseStatus = "completed"
    is_complete: bool = True


class StoredConversation(msgspec.Struct, frozen=True):
    """A conversation without its items. It belongs to `project`."""

    id: str
    project: str
    created: int
    metadata: Mapping[str, str]


class ItemPage(msgspec.Struct, frozen=True):
    """Some of a conversation's items in the requested order, and whether more follow."""

    items: Sequence[ResponseItem]
    has_more: bool


class EventBatch(msgspec.Struct, frozen=True):
    """Consecutive events of a background response: the number of the first, and each as a server-sent event
    without the empty line at its end."""

    first: int
    events: Sequence[bytes]

    @property
    def last(self) -> int:
        return self.first + len(self.events) - 1


class ResponseStore(LimitedStore, Protocol):
    """Its usage counts responses, conversations and items together. It deletes old responses that no response
    continues, and conversations that haven't changed recently. All methods are blocking and thread-safe; call
    them off the event loop."""

    def put(self, response: StoredResponse) -> None:
        """Store the response with its items. If it has ended, its conversation is unlocked."""
        ...

    def get(self, project: str, response_id: str) -> StoredResponse | None:
        """The response with its output, but without its input."""
        ...

    def delete(self, project: str, response_id: str) -> bool:
        """Delete it; False if there is no such response. Responses that continue it keep their history."""
        ...

    def history(self, project: str, response_id: str, *, with_output: bool = True) -> History | None:
        """Everything that a request with this `previous_response_id` continues: the items of the whole
        chain, in one query. None if there is no such response. Without the last response's output, this is
        the context in which it was generated."""
        ...

    def items(
        self, project: str, ids: Sequence[str], *, max_bytes: int = MAX_HISTORY_BYTES
    ) -> Mapping[str, ResponseItem] | None:
        """The project's stored items with these ids; of several with the same id the newest. None if they
        exceed `max_bytes` together, each counted as often as it is named."""
        ...


class BackgroundStore(Protocol):
    """Background responses while a server, the runner, generates them. All methods are blocking and
    thread-safe; call them off the event loop."""

    def finish(self, response: StoredResponse) -> bool:
        """Replace the status, body and output of a response that is still active, and unlock its
        conversation. False if it isn't active: it was cancelled, deleted, or given up by another server."""
        ...

    def progress(self, response_id: str, body: bytes) -> bool:
        """A queued response is generated now. False if it is no longer active."""
        ...

    def heartbeat(self, runner: str, lease_s: float) -> frozenset[str]:
        """Declare a server alive for that long. Returns the ids of its responses that are still active."""
        ...

    def is_alive(self, runner: str) -> bool:
        """Whether it is, or may be: for a while after an outage of the database, none could say so."""
        ...

    def add_events(self, response_id: str, batch: EventBatch) -> None:
        """Does nothing if the response has been deleted."""
        ...

    def events(self, response_id: str, after: int) -> Sequence[EventBatch]:
        """The first batches that contain events with numbers greater than `after`, in order, at most
        `MAX_BATCHES`."""
        ...

    def delete_events(self, ended_before: int) -> None:
        """Delete the events of responses that ended before that time."""
        ...

    def close(self) -> None: ...


class ConversationStore(Protocol):
    """All methods are blocking and thread-safe; call them off the event loop."""

    def create(self, conversation: StoredConversation, items: Sequence[ResponseItem] = ()) -> None: ...

    def get(self, project: str, conversation_id: str) -> StoredConversation | None: ...

    def set_metadata(self, project: str, conversation_id: str, metadata: Mapping[str, str]) -> bool:
        """Replace the map; False if there is no such conversation."""
        ...

    def delete(self, project: str, conversation_id: str) -> bool:
        """Delete it; False if there is no such conversation. Its items can still be referred to."""
        ...

    def add(self, project: str, conversation_id: str, items: Sequence[ResponseItem], *, now: int) -> bool:
        """Append items; False if there is no such conversation. Items that it already contains are left
        out."""
        ...

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
        """Items after `after` (exclusive). None if there is no such conversation, or if `after` isn't one of
        its items. At least one item, if there is one, and no more than fit into `max_bytes`."""
        ...

    def item(self, project: str, conversation_id: str, item_id: str) -> ResponseItem | None: ...

    def delete_item(self, project: str, conversation_id: str, item_id: str) -> bool:
        """Remove the item from the conversation; False if there is none. A response that it belongs to
        keeps it."""
        ...

    def history(self, project: str, conversation_id: str) -> History | None:
        """All items, in one query. None if there is no such conversation."""
        ...

    def lock(self, project: str, conversation_id: str, owner: str, runner: str) -> bool:
        """Reserve the conversation for the response `owner` until that has ended, or its server `runner` is
        no longer alive. False if another response has it, or there is no such conversation."""
        ...

    def unlock(self, conversation_id: str, owner: str) -> None:
        """For a response that ended without being stored."""
        ...

    def close(self) -> None: ...

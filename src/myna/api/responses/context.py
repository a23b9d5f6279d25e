"""The items that a request is about: those that it continues, and its own with references resolved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from myna.core.errors import InvalidRequest, NotFound
from myna.core.stored_responses import ACTIVE, History, ResponseItem
from myna.request.context import RequestContext
from myna.wire.response_items import Item, ItemReference, read_stored


@dataclass(frozen=True, slots=True)
class RequestItems:
    """What is stored already, oldest first, and what the request adds."""

    history: Sequence[Item]
    own: Sequence[Item]

    @property
    def all(self) -> list[Item]:
        return [*self.history, *self.own]


async def request_items(
    context: RequestContext,
    items: Sequence[Item | ItemReference],
    *,
    previous_response_id: str | None,
    conversation_id: str | None,
) -> RequestItems:
    """The request's items and those before them: one query for what came before, and one if there are
    references. Raises OpenAI's errors for what isn't stored."""
    services, project = context.services, context.principal.project
    history, found = None, dict[str, ResponseItem]()
    if (id := conversation_id) is not None:
        history = await services.database_threads.run(services.conversations.history, project, id)
        if history is None:
            raise NotFound(f"Conversation with id '{id}' not found.")
    elif (id := previous_response_id) is not None:
        history = _continuable(
            id, await services.database_threads.run(services.responses.history, project, id)
        )
    if ids := [item.id for item in items if isinstance(item, ItemReference)]:
        found.update(await services.database_threads.run(services.responses.items, project, ids))
    if history is None and not ids:
        return RequestItems([], [item for item in items if not isinstance(item, ItemReference)])
    return await context.in_text_thread(_read, items, history, found)


def _continuable(id: str, history: History | None) -> History:
    """The history that ends with this response. Raises `InvalidRequest` if it can't be continued."""
    if history is None:
        raise InvalidRequest(
            f"Previous response with id '{id}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    if history.status in ACTIVE:
        raise InvalidRequest(
            f"Previous response with id '{id}' is still being generated.", param="previous_response_id"
        )
    return history


def _read(
    items: Sequence[Item | ItemReference], history: History | None, found: Mapping[str, ResponseItem]
) -> RequestItems:
    own = list[Item]()
    for item in items:
        if not isinstance(item, ItemReference):
            own.append(item)
        elif item.id in found:
            own.append(read_stored(found[item.id].json))
        else:
            raise NotFound(f"Item with id '{item.id}' not found.")
    if history is None:
        return RequestItems([], own)
    return RequestItems([read_stored(item.json) for item in history.items], own)

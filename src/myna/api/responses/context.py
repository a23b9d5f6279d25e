"""The items that a request is about: those that it continues, and its own with references resolved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from myna.core.errors import InvalidRequest, NotFound
from myna.core.stored_responses import ACTIVE, History, ResponseItem
from myna.request.context import RequestContext
from myna.wire.response_items import Item, ItemReference, read_stored


@dataclass(frozen=True, slots=True)
class Context:
    """`before` are the items that the request continues, `own` its input. `is_complete`: no old items were
    left out."""

    before: Sequence[Item]
    own: Sequence[Item]
    is_complete: bool = True

    @property
    def items(self) -> list[Item]:
        """All items, oldest first."""
        return [*self.before, *self.own]


class Asked(Protocol):
    """What of a request says which items it is about."""

    @property
    def input(self) -> Sequence[Item | ItemReference]: ...
    @property
    def previous_response_id(self) -> str | None: ...
    @property
    def conversation_id(self) -> str | None: ...


async def load_context(context: RequestContext, asked: Asked) -> Context:
    """The items from the stores, in one query for what came before, and one if there are references. Raises
    OpenAI's errors for what isn't stored."""
    services, project = context.services, context.principal.project
    history, found = None, dict[str, ResponseItem]()
    if asked.conversation_id is not None:
        id = asked.conversation_id
        history = await services.database_threads.run(services.conversations.history, project, id)
        if history is None:
            raise NotFound(f"Conversation with id '{id}' not found.")
    elif asked.previous_response_id is not None:
        id = asked.previous_response_id
        history = _continuable(
            id, await services.database_threads.run(services.responses.history, project, id)
        )
    if ids := [item.id for item in asked.input if isinstance(item, ItemReference)]:
        found.update(await services.database_threads.run(services.responses.items, project, ids))
    if history is None and not ids:
        return Context((), [item for item in asked.input if not isinstance(item, ItemReference)])
    return await context.in_text_thread(_read, asked.input, history, found)


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
) -> Context:
    own = list[Item]()
    for item in items:
        if not isinstance(item, ItemReference):
            own.append(item)
        elif item.id in found:
            own.append(read_stored(found[item.id].json))
        else:
            raise NotFound(f"Item with id '{item.id}' not found.")
    if history is None:
        return Context((), own)
    return Context([read_stored(item.json) for item in history.items], own, history.is_complete)

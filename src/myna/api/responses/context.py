"""The items that a request is about: those that it continues, and its own with references resolved."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from myna.api.responses.orphans import status_of
from myna.api.responses.schema import ResponsesRequest
from myna.api.responses.shapes import Response, new_response, with_encoded_echoes
from myna.catalog.registry import ModelCard
from myna.core.errors import DatabaseUnavailable, InvalidRequest, NotFound
from myna.core.stored_responses import ACTIVE, MAX_HISTORY_BYTES, History, ResponseItem
from myna.http.json_bodies import INLINE_BYTES
from myna.request.context import RequestContext
from myna.request.services import Services
from myna.wire.ids import ItemIds
from myna.wire.response_items import Item, ItemReference, read_stored

_OWN_ID: Final = re.compile(r"[a-z]+_[0-9a-f]{50}")
_NOT_PERSISTED_TEXT: Final = (
    " Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove "
    "this item from your input."
)
LOCKED_TEXT: Final = (
    "Another process is currently operating on this conversation. Please retry in a few seconds."
)


@dataclass(frozen=True, slots=True)
class RequestItems:
    """What is stored already, oldest first, and what the request adds. `chain` is the history as it is stored
    if it belongs to a previous response, which may be deleted while the request is answered."""

    history: Sequence[Item]
    own: Sequence[Item]
    chain: Sequence[ResponseItem] = ()

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
    """The request's items and those before them. Raises OpenAI's errors for what isn't stored."""
    history: History | None = None
    if conversation_id is not None:
        history = await _conversation(context, conversation_id)
    elif previous_response_id is not None:
        history = await _chain(context, previous_response_id)
    referred = await find_references(context, items)
    if history is None and not referred:
        return RequestItems([], [item for item in items if not isinstance(item, ItemReference)])
    found = await context.in_text_thread(_read, history, items, referred)
    return replace(found, chain=history.items) if history and previous_response_id is not None else found


def ids_for(request: ResponsesRequest) -> ItemIds:
    """New ids for the response to a request."""
    if request.conversation_id is not None:
        return ItemIds.within(request.conversation_id)
    return ItemIds.continuing(request.previous_response_id)


async def begin_response(
    context: RequestContext, card: ModelCard, request: ResponsesRequest, body: Mapping[str, Any]
) -> tuple[Response, ItemIds]:
    """The response before anything is generated, and its ids."""
    created, ids = int(time.time()), ids_for(request)

    def begin() -> Response:
        response = new_response(request, body, id=ids.new("resp_", created), created=created, model=card.id)
        return with_encoded_echoes(response) if context.body_bytes > INLINE_BYTES else response

    bodies = context.services.large_bodies
    return await bodies.run_if_large(context.body_bytes, context.principal.key_id, begin), ids


async def own_items(context: RequestContext, request: ResponsesRequest, response: Response) -> RequestItems:
    """The items of a request that is answered with this response; its conversation is locked until then."""
    if request.conversation_id is not None:
        await lock_conversation(context, request.conversation_id, response.id)
    return await request_items(
        context,
        request.input,
        previous_response_id=request.previous_response_id,
        conversation_id=request.conversation_id,
    )


async def find_references(
    context: RequestContext, items: Sequence[Item | ItemReference]
) -> Mapping[str, ResponseItem]:
    """The stored items that are referred to. Raises `NotFound` for the first that doesn't exist, and
    `InvalidRequest` if they are too large together."""
    ids = [item.id for item in items if isinstance(item, ItemReference)]
    if not ids:
        return {}
    services = context.services
    found = await services.database_threads.run(services.responses.items, context.principal.project, ids)
    if found is None:
        raise InvalidRequest(
            f"The items that the input refers to exceed {MAX_HISTORY_BYTES >> 20} MiB together.",
            param="input",
            code="too_large",
        )
    for item_id in ids:
        if item_id not in found:
            why = _NOT_PERSISTED_TEXT if _OWN_ID.fullmatch(item_id) else ""
            raise item_not_found(item_id, why)
    return found


def resolved(items: Sequence[Item | ItemReference], referred: Mapping[str, ResponseItem]) -> list[Item]:
    """The items, with the stored ones in place of references to them. Slow for many."""
    return [
        read_stored(referred[item.id].json) if isinstance(item, ItemReference) else item for item in items
    ]


async def lock_conversation(context: RequestContext, conversation_id: str, response_id: str) -> None:
    """Reserve the conversation until the response is stored, or the request ends without one. Raises
    `NotFound`, and `InvalidRequest` if another request uses it."""
    services, project = context.services, context.principal.project
    runs, run = services.background_runs, services.database_threads.run
    store = services.conversations
    await context.opened.enter_async_context(runs.alive())
    locking = asyncio.ensure_future(run(store.lock, project, conversation_id, response_id, runs.server))

    async def unlock() -> None:
        await asyncio.wait([locking])  # continues in its thread if the client leaves
        background = runs.get(response_id)
        if background is None or not background.is_finishing:
            await unlock_conversation(services, conversation_id, response_id)

    context.opened.push_async_callback(unlock)
    if not await asyncio.shield(locking):
        if await run(store.get, project, conversation_id) is None:
            raise conversation_not_found(conversation_id)
        raise InvalidRequest(LOCKED_TEXT, code="conversation_locked")


async def unlock_conversation(services: Services, conversation_id: str, response_id: str) -> None:
    """After what waits to be stored in it, if the database is away."""
    unlock = partial(services.conversations.unlock, conversation_id, response_id)
    if not services.store_writer.is_behind:
        try:
            await services.database_threads.run(unlock)
            return
        except DatabaseUnavailable:  # already logged
            pass
    services.store_writer.add_last(unlock)


def item_not_found(item_id: str, why: str = "") -> NotFound:
    return NotFound(f"Item with id '{item_id}' not found.{why}")


def conversation_not_found(conversation_id: str) -> NotFound:
    return NotFound(f"Conversation with id '{conversation_id}' not found.")


async def _conversation(context: RequestContext, conversation_id: str) -> History:
    services = context.services
    history = await services.database_threads.run(
        services.conversations.history, context.principal.project, conversation_id
    )
    if history is None:
        raise conversation_not_found(conversation_id)
    return history


async def _chain(context: RequestContext, response_id: str) -> History:
    services = context.services
    history = await services.database_threads.run(
        services.responses.history, context.principal.project, response_id
    )
    if history is None:
        raise InvalidRequest(
            f"Previous response with id '{response_id}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    if history.status in ACTIVE and await status_of(context, response_id) in ACTIVE:
        raise InvalidRequest(
            f"The previous response with id '{response_id}' is still {history.status.replace('_', ' ')}. "
            "Wait until it has ended, or cancel it.",
            param="previous_response_id",
            code="previous_response_not_completed",
        )
    return history


def _read(
    history: History | None, items: Sequence[Item | ItemReference], referred: Mapping[str, ResponseItem]
) -> RequestItems:
    before = [] if history is None else [read_stored(item.json) for item in history.items]
    return RequestItems(before, resolved(items, referred))

"""Conversations and their items: create, retrieve, update, list, delete."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Final

import orjson
from starlette.responses import Response

from myna.api.responses.context import conversation_not_found, find_references, item_not_found, resolved
from myna.api.responses.rendering import conversation_json, indented, json_response, page_json
from myna.api.responses.stored_routes import SCOPE, endpoint
from myna.core.errors import QuotaExceeded
from myna.core.stored_responses import ResponseItem, StoredConversation
from myna.request.auth import require
from myna.request.context import RequestContext
from myna.wire.fields import Metadata, array
from myna.wire.ids import conversation_id, conversation_item_id
from myna.wire.paging import page_limit, page_order
from myna.wire.parameters import CONVERSATION, CONVERSATION_ITEMS, METADATA_UPDATE
from myna.wire.response_items import ItemParam, stored_item
from myna.wire.validation import Items, WireModel

MAX_NEW_ITEMS: Final = 20
_FULL_TEXT: Final = (
    "What the project has stored has reached the server's limit (max_stored). Delete some of it first."
)
_NO_OBJECT_TEXT: Final = "Invalid type for request body: expected an object."

NewItems = Annotated[
    Items[ItemParam],
    array("an array of input items", longest=MAX_NEW_ITEMS, may_be_empty=True),
]


class NewConversation(WireModel):
    """The body of a request to create a conversation."""

    metadata: Metadata = ()
    items: NewItems | None = None


class AddedItems(WireModel):
    """The body of a request to add items."""

    items: NewItems


class MetadataUpdate(WireModel):
    """The body of an update: the new metadata."""

    metadata: Metadata


async def create_conversation(context: RequestContext) -> Response:
    """The body may be empty."""
    require(context.principal, SCOPE)
    body: Mapping[str, object] = {}
    if await context.request.body():
        body = await context.json_object(_NO_OBJECT_TEXT)
    request = await context.validated(NewConversation, body, CONVERSATION)
    created = int(time.time())
    row = StoredConversation(
        conversation_id(created), context.principal.project, created, dict(request.metadata)
    )
    items = await _new_items(context, row.id, request.items or ())
    services = context.services
    await services.database_threads.run(services.conversations.create, row, items)
    return json_response(conversation_json(row))


async def retrieve_conversation(context: RequestContext) -> Response:
    require(context.principal, SCOPE)
    return json_response(conversation_json(await _find(context)))


async def update_conversation(context: RequestContext) -> Response:
    """Replace the metadata."""
    require(context.principal, SCOPE)
    body = await context.json_object(_NO_OBJECT_TEXT)
    update = await context.validated(MetadataUpdate, body, METADATA_UPDATE)
    services, project, found = context.services, context.principal.project, _id(context)
    metadata = dict(update.metadata)
    if not await services.database_threads.run(services.conversations.set_metadata, project, found, metadata):
        raise conversation_not_found(found)
    return json_response(conversation_json(await _find(context)))


async def delete_conversation(context: RequestContext) -> Response:
    """Delete it; its items can still be referred to, as at OpenAI."""
    require(context.principal, SCOPE)
    services, found = context.services, _id(context)
    if not await services.database_threads.run(
        services.conversations.delete, context.principal.project, found
    ):
        raise conversation_not_found(found)
    return json_response(indented({"id": found, "object": "conversation.deleted", "deleted": True}))


async def add_items(context: RequestContext) -> Response:
    """Add items at the end; returns them."""
    require(context.principal, SCOPE)
    body = await context.json_object(_NO_OBJECT_TEXT)
    request = await context.validated(AddedItems, body, CONVERSATION_ITEMS)
    conversation = await _find(context)
    items = await _new_items(context, conversation.id, request.items)
    services = context.services
    add = partial(services.conversations.add, conversation.project, conversation.id, items)
    if not await services.database_threads.run(partial(add, now=int(time.time()))):
        raise conversation_not_found(conversation.id)
    return json_response(await context.in_text_thread(partial(page_json, items, has_more=False)))


async def list_items(context: RequestContext) -> Response:
    """Newest first by default."""
    require(context.principal, SCOPE)
    query, services = context.request.query_params, context.services
    limit, order, after = page_limit(query), page_order(query, "desc"), query.get("after")
    page = await services.database_threads.run(
        partial(services.conversations.page, after=after, limit=limit, order=order),
        context.principal.project,
        _id(context),
    )
    if page is None:
        await _find(context)
        raise item_not_found(str(after))
    return json_response(await context.in_text_thread(partial(page_json, page.items, has_more=page.has_more)))


async def retrieve_item(context: RequestContext) -> Response:
    require(context.principal, SCOPE)
    services, item_id = context.services, _item_id(context)
    item = await services.database_threads.run(
        services.conversations.item, context.principal.project, _id(context), item_id
    )
    if item is None:
        await _find(context)
        raise item_not_found(item_id)
    return json_response(await context.in_text_thread(lambda: indented(orjson.loads(item.json))))


async def delete_item(context: RequestContext) -> Response:
    """Returns the conversation."""
    require(context.principal, SCOPE)
    services, conversation, item_id = context.services, await _find(context), _item_id(context)
    if not await services.database_threads.run(
        services.conversations.delete_item, conversation.project, conversation.id, item_id
    ):
        raise item_not_found(item_id)
    return json_response(conversation_json(conversation))


_ONE: Final = "/v1/conversations/{conversation_id}"

ENDPOINTS: Final = (
    endpoint("POST", "/v1/conversations", create_conversation),
    endpoint("GET", _ONE, retrieve_conversation),
    endpoint("POST", _ONE, update_conversation),
    endpoint("DELETE", _ONE, delete_conversation),
    endpoint("GET", f"{_ONE}/items", list_items),
    endpoint("POST", f"{_ONE}/items", add_items),
    endpoint("GET", f"{_ONE}/items/{{item_id}}", retrieve_item),
    endpoint("DELETE", f"{_ONE}/items/{{item_id}}", delete_item),
)


def _id(context: RequestContext) -> str:
    return str(context.request.path_params["conversation_id"])


def _item_id(context: RequestContext) -> str:
    return str(context.request.path_params["item_id"])


async def _find(context: RequestContext) -> StoredConversation:
    services, found = context.services, _id(context)
    row = await services.database_threads.run(services.conversations.get, context.principal.project, found)
    if row is None:
        raise conversation_not_found(found)
    return row


async def _new_items(
    context: RequestContext, conversation: str, items: Sequence[ItemParam]
) -> list[ResponseItem]:
    """The items as they are stored, in place of references those that they refer to. Raises `QuotaExceeded`
    if the project may not store more."""
    referred = await find_references(context, items)

    def stored() -> list[ResponseItem]:
        shown = [
            stored_item(item, partial(conversation_item_id, conversation))
            for item in resolved(items, referred)
        ]
        return [ResponseItem(str(item["id"]), orjson.dumps(item)) for item in shown]

    new = await context.in_text_thread(stored)
    num_bytes = sum(len(item.json) for item in new)
    if not await context.services.store_writer.reserve(context.principal.project, num_bytes):
        raise QuotaExceeded(_FULL_TEXT, code="insufficient_quota")
    return new

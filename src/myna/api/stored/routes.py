"""The stored completions of a project: list, retrieve, update metadata, delete."""

from collections.abc import Mapping
from typing import Final

import orjson
from starlette.datastructures import QueryParams
from starlette.responses import Response

from myna.accounts.principal import Scope
from myna.api.stored.shapes import item_json, messages_of, page_json
from myna.core.errors import InvalidRequest, NotFound
from myna.core.stored import StoredCompletion
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.wire.fields import Metadata
from myna.wire.paging import listed, page_limit, page_order
from myna.wire.parameters import METADATA_UPDATE
from myna.wire.validation import WireModel

_SCOPE: Final[Scope] = "model.request"
_METADATA_PREFIX: Final = "metadata["


class MetadataUpdate(WireModel):
    """The body of an update: the new metadata."""

    metadata: Metadata


async def list_completions(context: RequestContext) -> Response:
    """Newest first by default, as OpenAI does it (its documentation says the opposite)."""
    require(context.principal, _SCOPE)
    query = context.request.query_params
    limit, order = page_limit(query), page_order(query, "desc")
    after = query.get("after")
    page = await context.services.database_threads.run(
        context.services.completions.page,
        context.principal.project,
        after=after,
        limit=limit,
        order=order,
        model=query.get("model"),
        metadata=_metadata_filter(query),
    )
    if page is None:
        raise _not_found(str(after))
    return _json(await context.in_text_thread(page_json, page))


async def retrieve_completion(context: RequestContext) -> Response:
    require(context.principal, _SCOPE)
    return _json(await context.in_text_thread(item_json, await _find(context)))


async def list_messages(context: RequestContext) -> Response:
    """The messages of the request, not the response."""
    require(context.principal, _SCOPE)
    query = context.request.query_params
    limit, order, after = page_limit(query), page_order(query, "asc"), query.get("after")
    messages = await context.in_text_thread(messages_of, await _find(context))
    if order == "desc":
        messages.reverse()
    if after is not None:
        positions = [position for position, message in enumerate(messages) if message["id"] == after]
        if not positions:
            raise _not_found(after)
        messages = messages[positions[0] + 1 :]
    return listed(messages[:limit], has_more=len(messages) > limit)


async def update_completion(context: RequestContext) -> Response:
    """Replace the metadata, the only part of a stored completion that can change."""
    require(context.principal, _SCOPE)
    body = await context.json_object()
    completion_id = _completion_id(context)
    update = await context.validated(MetadataUpdate, body, METADATA_UPDATE)
    metadata = dict(update.metadata)
    store = context.services.completions
    if not await context.services.database_threads.run(
        store.set_metadata, context.principal.project, completion_id, metadata
    ):
        raise _not_found(completion_id)
    return _json(await context.in_text_thread(item_json, await _find(context)))


async def delete_completion(context: RequestContext) -> Response:
    require(context.principal, _SCOPE)
    completion_id = _completion_id(context)
    store = context.services.completions
    if not await context.services.database_threads.run(
        store.delete, context.principal.project, completion_id
    ):
        raise _not_found(completion_id)
    return _json(orjson.dumps({"object": "chat.completion.deleted", "id": completion_id, "deleted": True}))


ENDPOINTS: Final = (
    Endpoint("GET", "/v1/chat/completions", list_completions),
    Endpoint("GET", "/v1/chat/completions/{completion_id}", retrieve_completion),
    Endpoint("POST", "/v1/chat/completions/{completion_id}", update_completion),
    Endpoint("DELETE", "/v1/chat/completions/{completion_id}", delete_completion),
    Endpoint("GET", "/v1/chat/completions/{completion_id}/messages", list_messages),
)


def _completion_id(context: RequestContext) -> str:
    return str(context.request.path_params["completion_id"])


async def _find(context: RequestContext) -> StoredCompletion:
    completion_id = _completion_id(context)
    row = await context.services.database_threads.run(
        context.services.completions.get, context.principal.project, completion_id
    )
    if row is None:
        raise _not_found(completion_id)
    return row


def _not_found(completion_id: str) -> NotFound:
    return NotFound(f"Completion {completion_id} not found", param="completion_id", code="not_found")


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _metadata_filter(query: QueryParams) -> Mapping[str, str]:
    """Any number of `metadata[key]=value`, as the SDKs send a nested map."""
    metadata = {}
    for name, value in query.multi_items():
        if name.startswith(_METADATA_PREFIX) and name.endswith("]"):
            metadata[name[len(_METADATA_PREFIX) : -1]] = value
        elif name not in ("after", "limit", "order", "model"):
            raise InvalidRequest(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    return metadata

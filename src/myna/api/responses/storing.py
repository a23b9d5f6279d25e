"""`store`: the row of a response, and its items as later requests read them."""

import logging
from collections.abc import Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from myna.api.responses.answer import ResponseFold
from myna.api.responses.schema import ResponsesRequest
from myna.core.stored_responses import ResponseItem, ResponseStatus, StoredResponse
from myna.generation.json_parts import json_parts
from myna.request.context import RequestContext
from myna.wire.ids import ItemIds
from myna.wire.response_items import Item, stored_item

log = logging.getLogger("myna.serving")


async def may_store(context: RequestContext, request: ResponsesRequest) -> bool:
    """Whether the response will be stored; a hint says why not."""
    if not request.is_stored:
        return False
    if await context.services.store_writer.has_room(context.principal.project):
        return True
    context.record.hint(
        "This response is not stored: what the project has stored has reached the server's limit "
        "(max_stored). Delete some, or send requests with 'store': false."
    )
    return False


async def store(
    context: RequestContext,
    request: ResponsesRequest,
    own: Sequence[Item],
    ids: ItemIds,
    fold: ResponseFold,
) -> None:
    """Store the finished response with the request's `own` items. Never raises: failing to store must not
    fail the response."""
    services, project = context.services, context.principal.project
    try:
        row = await context.in_text_thread(
            _row, request, own, ids, fold, project, services.store_writer.max_row_bytes
        )
        if row is None:
            services.store_writer.drop_large()
        else:
            await services.store_writer.put(project, row.num_bytes, partial(services.responses.put, row))
    except Exception:
        log.exception("the response to %s could not be stored", context.id)


def _row(
    request: ResponsesRequest,
    own: Sequence[Item],
    ids: ItemIds,
    fold: ResponseFold,
    project: str,
    max_bytes: int,
) -> StoredResponse | None:
    """The row; None if it would be larger than that."""
    response = fold.finished()
    status: ResponseStatus = "incomplete" if response.status == "incomplete" else "completed"
    body = _json(replace(response, output=[]), max_bytes)
    output = list[ResponseItem]()
    for item in fold.output.items:
        json = _json(item.rendered(), max_bytes)
        max_bytes -= len(json)
        if max_bytes <= 0:
            return None
        output.append(ResponseItem(item.id, json))
    return StoredResponse(
        id=response.id,
        project=project,
        created=response.created_at,
        model=response.model,
        status=status,
        body=body,
        input=input_items(own, ids),
        output=output,
        previous_id=request.previous_response_id,
        conversation_id=request.conversation_id,
    )


def input_items(own: Sequence[Item], ids: ItemIds) -> list[ResponseItem]:
    """The request's items as they are stored, each with an id."""
    items = [stored_item(item, ids.new) for item in own]
    return [ResponseItem(str(item["id"]), msgspec.json.encode(item)) for item in items]


def _json(value: object, max_bytes: int) -> bytes:
    """The value's JSON; less than all of it if it is longer than that."""
    parts, size = list[bytes](), 0
    for part in json_parts(value, is_indented=False):
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            break
    return b"".join(parts)

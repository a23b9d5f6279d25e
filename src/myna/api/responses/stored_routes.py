"""Stored responses: retrieve, follow, cancel, delete, and list what went into one."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from starlette.datastructures import QueryParams
from starlette.responses import Response

from myna.accounts.principal import Scope
from myna.api.responses.context import item_not_found
from myna.api.responses.following import FollowedEvents, follow
from myna.api.responses.orphans import ended, find_response
from myna.api.responses.rendering import indented, json_response, page_json, response_json, response_object
from myna.core.errors import InvalidRequest, NotFound
from myna.core.stored import MAX_PAGE_BYTES, Order, num_fitting
from myna.core.stored_responses import ACTIVE, ResponseItem, StoredResponse
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.wire import validation_errors
from myna.wire.errors import BACKEND
from myna.wire.paging import page_limit, page_order, query_integer

SCOPE: Final[Scope] = "model.request"
_MAX_NUMBER: Final = 2**31 - 1
"""No response has that many events."""
NO_KEY_TEXT: Final = "Missing bearer or basic authentication in header"
endpoint: Final = partial(Endpoint, error_layout=BACKEND, no_key_text=NO_KEY_TEXT)


async def retrieve_response(context: RequestContext) -> Response | None:
    """The response as it is now, or the events of its stream."""
    require(context.principal, SCOPE)
    query = context.request.query_params
    is_stream, after = _flag(query, "stream"), _starting_after(query)
    row = await _find(context)
    if not is_stream:
        return json_response(await context.in_text_thread(response_json, row))
    with context.services.background_runs.following(context.principal.key_id):
        async with context.response_sender(is_stream=True, events=FollowedEvents()) as sender:
            await sender.send_rendered(follow(context, row.id, after))
    return None


async def delete_response(context: RequestContext) -> Response:
    """Delete it; a background response that is generated ends."""
    require(context.principal, SCOPE)
    response_id, services = _response_id(context), context.services
    if not await services.database_threads.run(
        services.responses.delete, context.principal.project, response_id
    ):
        raise _not_found(response_id)
    if (run := services.background_runs.get(response_id)) is not None:
        run.stop()
    return json_response(indented({"id": response_id, "object": "response.deleted", "deleted": True}))


async def cancel_response(context: RequestContext) -> Response:
    """End a background response. One that has ended stays as it is."""
    require(context.principal, SCOPE)
    row, services = await _find(context), context.services
    shown = await context.in_text_thread(response_object, row)
    if not shown["background"]:
        raise InvalidRequest("Cannot cancel a synchronous response.")
    if row.status not in ACTIVE:
        return json_response(await context.in_text_thread(indented, shown))
    cancelled = await context.in_text_thread(ended, row, "cancelled")
    if await services.database_threads.run(services.background.finish, cancelled):
        if (run := services.background_runs.get(row.id)) is not None:
            run.stop()
        return json_response(await context.in_text_thread(response_json, cancelled))
    return json_response(await context.in_text_thread(response_json, await _find(context)))


async def list_input_items(context: RequestContext) -> Response:
    """Everything that was in the response's context, also from earlier responses of its chain."""
    require(context.principal, SCOPE)
    query, response_id = context.request.query_params, _response_id(context)
    limit, order, after = page_limit(query), page_order(query, "desc"), query.get("after")
    services = context.services
    history = await services.database_threads.run(
        partial(services.responses.history, context.principal.project, response_id, with_output=False)
    )
    if history is None:
        raise _not_found(response_id)
    return json_response(await context.in_text_thread(_page, history.items, limit, order, after))


ENDPOINTS: Final = (
    endpoint("GET", "/v1/responses/{response_id}", retrieve_response),
    endpoint("DELETE", "/v1/responses/{response_id}", delete_response),
    endpoint("POST", "/v1/responses/{response_id}/cancel", cancel_response),
    endpoint("GET", "/v1/responses/{response_id}/input_items", list_input_items),
)


def _response_id(context: RequestContext) -> str:
    return str(context.request.path_params["response_id"])


async def _find(context: RequestContext) -> StoredResponse:
    row = await find_response(context, _response_id(context))
    if row is None:
        raise _not_found(_response_id(context))
    return row


def _not_found(response_id: str) -> NotFound:
    return NotFound(f"Response with id '{response_id}' not found.")


def _page(found: Sequence[ResponseItem], limit: int, order: Order, after: str | None) -> bytes:
    """The page of the items, oldest first, of which each id is shown once. Slow for many."""
    items: Sequence[ResponseItem] = list({item.id: item for item in found}.values())
    if order == "desc":
        items = items[::-1]
    if after is not None:
        items = _following(items, after)
    num = num_fitting([len(item.json) for item in items[:limit]], MAX_PAGE_BYTES)
    return page_json(items[:num], has_more=len(items) > num)


def _following(items: Sequence[ResponseItem], after: str) -> Sequence[ResponseItem]:
    places = [place for place, item in enumerate(items) if item.id == after]
    if not places:
        raise item_not_found(after)
    return items[places[0] + 1 :]


def _flag(query: QueryParams, name: str) -> bool:
    raw = query.get(name, "false")
    if raw not in ("true", "false"):
        raise validation_errors.invalid_type("a boolean", raw).at_param(name)
    return raw == "true"


def _starting_after(query: QueryParams) -> int:
    """The number of the last event that the client has; -1: none."""
    raw = query.get("starting_after")
    if raw is None:
        return -1
    number = query_integer(raw, "starting_after")
    if number < 0:
        raise validation_errors.out_of_range("integer", "below", 0, number).at_param("starting_after")
    return min(number, _MAX_NUMBER)

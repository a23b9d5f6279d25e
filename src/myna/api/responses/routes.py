"""`POST /v1/responses`: one function from the request to the last byte of the response."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from myna.api.responses.background import answer_in_background
from myna.api.responses.check import check_combinations, check_moved
from myna.api.responses.compacting import compact_response
from myna.api.responses.context import begin_response, own_items
from myna.api.responses.counting import count_input_tokens
from myna.api.responses.generating import generate
from myna.api.responses.model import NO_OBJECT_TEXT, requested_card
from myna.api.responses.relayed import RelayedChunks, RelayedEvents
from myna.api.responses.schema import ResponsesRequest
from myna.api.responses.storing import Storing, has_room
from myna.api.responses.stream import ResponseEvents, ResponseRenderer
from myna.catalog.registry import ModelCard
from myna.generation.storing import StoredStream
from myna.http.streaming import collect
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.request.relaying import answer_relayed
from myna.wire.errors import BACKEND
from myna.wire.parameters import RESPONSES

NO_KEY_TEXT: Final = "Missing bearer or basic authentication in header"


async def create_response(context: RequestContext) -> None:
    """Everything that can be rejected is rejected before the first byte."""
    require(context.principal, "model.request")
    body = await context.json_object(NO_OBJECT_TEXT)
    card = requested_card(context, body)
    if card.is_relayed:
        chunks = RelayedChunks()
        events = RelayedEvents(card.id, chunks)
        await answer_relayed(context, card, body, "responses", framing=events, renderer=chunks)
        return
    check_moved(body)
    request = await context.validated(ResponsesRequest, body, RESPONSES, may_ignore=True)
    context.record.user = request.user or request.safety_identifier or ""
    check_combinations(request)
    if request.background:
        await answer_in_background(context, card, request, body)
    else:
        await _answer(context, card, request, body)


async def _answer(
    context: RequestContext, card: ModelCard, request: ResponsesRequest, body: Mapping[str, Any]
) -> None:
    response, ids = await begin_response(context, card, request, body)
    options = request.stream_options
    renderer = ResponseRenderer(
        response, is_obfuscated=bool(options is not None and options.include_obfuscation)
    )
    async with context.response_sender(
        is_stream=bool(request.stream), events=ResponseEvents(renderer)
    ) as sender:
        items = await own_items(context, request, response)
        is_kept = request.is_stored and await has_room(context)
        response = replace(response, store=is_kept)
        events, accumulator = await generate(context, card, request, items.all, response, ids)
        renderer.accumulator = accumulator
        storing = Storing(context, accumulator, items, ids, is_kept=is_kept)
        if request.stream:
            if is_kept or request.conversation is not None:
                events = StoredStream(events, accumulator.note_total, storing.store)
            await sender.send_events(events, renderer)
        else:
            await collect(events, accumulator)
            if is_kept or request.conversation is not None:
                await storing.store()
            await sender.send_body(accumulator.parts())


ENDPOINTS: Final = (
    Endpoint(
        "POST",
        "/v1/responses",
        create_response,
        recorded_as="responses",
        error_layout=BACKEND,
        no_key_text=NO_KEY_TEXT,
    ),
    Endpoint(
        "POST",
        "/v1/responses/input_tokens",
        count_input_tokens,
        error_layout=BACKEND,
        no_key_text=NO_KEY_TEXT,
    ),
    Endpoint(
        "POST",
        "/v1/responses/compact",
        compact_response,
        recorded_as="responses",
        error_layout=BACKEND,
        no_key_text=NO_KEY_TEXT,
    ),
)

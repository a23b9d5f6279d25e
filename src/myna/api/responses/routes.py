"""`POST /v1/responses`: one function from the request to the last byte of the response."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from myna.api.responses.answer import ResponseFold
from myna.api.responses.asker import asker_of
from myna.api.responses.check import check_combinations, check_moved
from myna.api.responses.compacting import compact_response
from myna.api.responses.context import request_items
from myna.api.responses.counting import count_input_tokens
from myna.api.responses.model import NO_OBJECT_TEXT, requested_card
from myna.api.responses.output import Output
from myna.api.responses.prepare import prepare
from myna.api.responses.relayed import RelayedChunks, RelayedEvents
from myna.api.responses.schema import ResponsesRequest
from myna.api.responses.shapes import new_response
from myna.api.responses.storing import may_store, store
from myna.api.responses.stream import ResponseEvents, ResponseRenderer
from myna.catalog.registry import ModelCard
from myna.core.errors import InvalidRequest
from myna.generation.storing import StoredStream
from myna.http.streaming import collect
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.request.relaying import answer_relayed
from myna.request.service_tiers import served_tier
from myna.wire.errors import BACKEND
from myna.wire.ids import ItemIds
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
        raise InvalidRequest("Responses can't be generated in the background.", param="background")
    await _answer(context, card, request, body)


async def _answer(
    context: RequestContext, card: ModelCard, request: ResponsesRequest, body: Mapping[str, Any]
) -> None:
    created, ids = int(time.time()), ItemIds.continuing(request.previous_response_id)
    response = new_response(request, body, id=ids.new("resp_", created), created=created, model=card.id)
    options = request.stream_options
    renderer = ResponseRenderer(
        response, is_obfuscated=bool(options is not None and options.include_obfuscation)
    )
    async with context.response_sender(
        is_stream=bool(request.stream), events=ResponseEvents(renderer)
    ) as sender:
        items = await request_items(
            context,
            request.input,
            previous_response_id=request.previous_response_id,
            conversation_id=request.conversation_id,
        )
        model = await context.open_model(card)
        is_stored = await may_store(context, request)
        tier = await served_tier(context, request.service_tier, card)
        prepared = await context.in_text_thread(prepare, request, items.all, model, tier, asker_of(context))
        events = await context.generate(
            model, [prepared.generation], is_unbounded=request.max_output_tokens is None
        )
        used = prepared.generation.sampling
        response = replace(
            response,
            store=is_stored,
            temperature=used.temperature,
            top_p=used.top_p,
            presence_penalty=used.presence_penalty,
            frequency_penalty=used.frequency_penalty,
        )
        output = Output(prepared.output_spec(request, ids, context.services.sealer))
        fold = renderer.fold = ResponseFold(response, output, tier)
        store_response = partial(store, context, request, items.own, ids, fold)
        if request.stream:
            if is_stored:
                events = StoredStream(events, fold.note_total, store_response)
            await sender.send_events(events, renderer)
        else:
            await collect(events, fold)
            if is_stored:
                await store_response()
            await sender.send_body(fold.parts())


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

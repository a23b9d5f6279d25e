"""`POST /v1/responses`: one function from the request to the last byte of the response."""

import time
from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from myna.api.responses.answer import ResponseFold
from myna.api.responses.check import check_combinations, check_moved
from myna.api.responses.context import context_items
from myna.api.responses.model import requested_card
from myna.api.responses.output import Output
from myna.api.responses.prepare import Asker, prepare
from myna.api.responses.schema import ResponsesRequest
from myna.api.responses.shapes import new_response
from myna.api.responses.stream import ResponseEvents, ResponseRenderer
from myna.catalog.registry import ModelCard
from myna.core.errors import InvalidRequest
from myna.generation.tenant import tenant_of
from myna.http.streaming import collect
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.request.relaying import answer_relayed
from myna.request.service_tiers import served_tier
from myna.wire.errors import BACKEND
from myna.wire.ids import ItemIds
from myna.wire.parameters import RESPONSES

NO_KEY_TEXT: Final = "Missing bearer or basic authentication in header"
NO_OBJECT_TEXT: Final = "Missing required parameter: 'model'."


async def create_response(context: RequestContext) -> None:
    """Everything that can be rejected is rejected before the first byte."""
    require(context.principal, "model.request")
    body = await context.json_object(NO_OBJECT_TEXT)
    card = requested_card(context, body)
    if card.is_relayed:
        await answer_relayed(context, card, body, "responses")
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
        items = await context_items(
            context,
            request.input,
            previous_response_id=request.previous_response_id,
            conversation_id=request.conversation.id if request.conversation else None,
        )
        model = await context.open_model(card)
        tier = await served_tier(context, request.service_tier, card)
        prepared = await context.in_text_thread(prepare, request, items, model, tier, asker_of(context))
        events = await context.generate(
            model, [prepared.generation], is_unbounded=request.max_output_tokens is None
        )
        used = prepared.generation.sampling
        response = replace(
            response,
            temperature=used.temperature,
            top_p=used.top_p,
            presence_penalty=used.presence_penalty,
            frequency_penalty=used.frequency_penalty,
        )
        output = Output(prepared.output_spec(request, ids, context.services.sealer))
        fold = renderer.fold = ResponseFold(response, output, tier)
        if request.stream:
            await sender.send_events(events, renderer)
        else:
            await sender.send_body((await collect(events, fold)).parts())


def asker_of(context: RequestContext) -> Asker:
    """Whose request it is, and what limits its answer."""
    services = context.services
    return Asker(
        tenant_of(context.principal),
        context.id,
        services.answer_limits,
        context.record.hint,
        services.sealer,
    )


ENDPOINTS: Final = (
    Endpoint(
        "POST",
        "/v1/responses",
        create_response,
        recorded_as="responses",
        error_layout=BACKEND,
        no_key_text=NO_KEY_TEXT,
    ),
)

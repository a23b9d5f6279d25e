"""Generates a response: from its items to the stream of events and what they are folded into."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from myna.api.responses.answer import ResponseAccumulator
from myna.api.responses.output import Output
from myna.api.responses.prepare import prepare
from myna.api.responses.requester import requester_of
from myna.api.responses.schema import ResponsesRequest
from myna.api.responses.shapes import Response
from myna.catalog.registry import ModelCard
from myna.core.generator import EventStream
from myna.request.context import RequestContext
from myna.request.service_tiers import served_tier
from myna.wire.ids import ItemIds
from myna.wire.response_items import Item


class Generation(NamedTuple):
    """A response that is being generated."""

    events: EventStream
    accumulator: ResponseAccumulator


async def generate(
    context: RequestContext,
    card: ModelCard,
    request: ResponsesRequest,
    items: Sequence[Item],
    response: Response,
    ids: ItemIds,
) -> Generation:
    """Start to generate what follows these items. `response` is the response before that."""
    model = await context.open_model(card)
    tier = await served_tier(context, request.service_tier, card)
    prepared = await context.in_text_thread(prepare, request, items, model, tier, requester_of(context))
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
    return Generation(events, ResponseAccumulator(response, output, tier))

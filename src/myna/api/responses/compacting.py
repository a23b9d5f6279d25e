"""`POST /v1/responses/compact`: replaces a long context by its user's messages and a summary of the rest."""

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from myna.accounts.sealing import Sealer
from myna.api.responses.answer import ResponseAccumulator
from myna.api.responses.check import check_input
from myna.api.responses.context import request_items
from myna.api.responses.model import NO_OBJECT_TEXT, requested_card
from myna.api.responses.output import Output
from myna.api.responses.prepare import SUMMARY, prepare
from myna.api.responses.requester import requester_of
from myna.api.responses.schema import CompactRequest
from myna.api.responses.shapes import Usage, new_response
from myna.generation.json_parts import LazyArray, json_parts
from myna.http.streaming import collect
from myna.request.auth import require
from myna.request.context import RequestContext
from myna.request.relaying import answer_relayed
from myna.request.service_tiers import served_tier
from myna.wire.ids import ItemIds
from myna.wire.parameters import COMPACT
from myna.wire.response_items import PREFIXES, Item, MessageItem, stored_item

_PER_SLICE: Final = 64
REQUEST_TEXT: Final = (
    "Summarize the conversation so far for someone who continues it and sees only my messages: what you "
    "said, which tools you called and what they returned, what was decided, what is done and what remains. "
    "Write only the summary."
)


class Compaction(msgspec.Struct):
    """The compacted context, to be sent as the input of the next request."""

    id: str
    object: str
    created_at: int
    output: LazyArray
    usage: Usage | None


async def compact_response(context: RequestContext) -> None:
    """Everything that can be rejected is rejected before anything is generated."""
    require(context.principal, "model.request")
    body = await context.json_object(NO_OBJECT_TEXT)
    card = requested_card(context, body)
    if card.is_relayed:
        await answer_relayed(context, card, body, "responses/compact")
        return
    request = (await context.validated(CompactRequest, body, COMPACT, may_ignore=True)).as_response()
    check_input(request.input, request.previous_response_id)
    created, ids = int(time.time()), ItemIds.continuing(request.previous_response_id)
    response = new_response(request, {}, id=ids.new("resp_", created), created=created, model=card.id)
    async with context.response_sender(is_stream=False) as sender:
        items = await request_items(
            context, request.input, previous_response_id=request.previous_response_id, conversation_id=None
        )
        model = await context.open_model(card)
        tier = await served_tier(context, request.service_tier, card)
        asked = [*items.all, MessageItem(role="user", content=REQUEST_TEXT)]
        prepared = await context.in_text_thread(prepare, request, asked, model, tier, requester_of(context))
        events = await context.generate(model, [prepared.generation])
        sealer = context.services.sealer
        output = Output(prepared.output_spec(request, ids, sealer))
        accumulator = await collect(events, ResponseAccumulator(response, output, tier))
        await sender.send_body(json_parts(_compacted(accumulator, items.all, ids, sealer), is_indented=True))


def _compacted(
    accumulator: ResponseAccumulator, items: Sequence[Item], ids: ItemIds, sealer: Sealer
) -> Compaction:
    """The user's messages as they are, and the summary in an opaque token."""
    said = [item for item in accumulator.output.items if item.kind == "message"]
    summary = sealer.seal("".join(item.text for item in said), SUMMARY)
    users = [item for item in items if isinstance(item, MessageItem) and item.role == "user"]
    kind = "compaction"
    end = {"id": ids.new(PREFIXES[kind]), "type": kind, "encrypted_content": summary}

    def shown(item: MessageItem | None) -> dict[str, object]:
        return dict(end) if item is None else stored_item(item, ids.new)

    finished = accumulator.finished()
    return Compaction(
        finished.id,
        "response.compaction",
        finished.created_at,
        LazyArray([*users, None], shown, _PER_SLICE),
        finished.usage,
    )

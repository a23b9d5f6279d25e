"""`POST /v1/responses/input_tokens`: how many input tokens a response would have."""

import msgspec
from starlette.responses import Response

from myna.api.responses.check import check_exclusive, check_input
from myna.api.responses.context import request_items
from myna.api.responses.model import NO_OBJECT_TEXT, requested_card
from myna.api.responses.prepare import count_tokens
from myna.api.responses.requester import requester_of
from myna.api.responses.schema import InputTokensRequest
from myna.request.auth import require
from myna.request.context import RequestContext
from myna.request.relaying import uncounted
from myna.wire.parameters import INPUT_TOKENS


async def count_input_tokens(context: RequestContext) -> Response:
    """The same number as in the usage of the response itself."""
    require(context.principal, "model.request")
    body = await context.json_object(NO_OBJECT_TEXT)
    card = requested_card(context, body)
    if card.is_relayed:
        raise uncounted(card)
    request = (await context.validated(InputTokensRequest, body, INPUT_TOKENS, may_ignore=True)).as_response()
    check_exclusive(request)
    check_input(request.input, request.previous_response_id or request.conversation)
    items = await request_items(
        context,
        request.input,
        previous_response_id=request.previous_response_id,
        conversation_id=request.conversation_id,
    )
    model = await context.open_model(card)
    num_tokens = await context.in_text_thread(count_tokens, request, items.all, model, requester_of(context))
    counted = msgspec.json.encode({"object": "response.input_tokens", "input_tokens": num_tokens})
    return Response(msgspec.json.format(counted), media_type="application/json")

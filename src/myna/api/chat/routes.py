"""`POST /v1/chat/completions`: one function from the request to the last byte of its answer."""

import time
from functools import partial
from typing import Final

from myna.api.chat.answer import AnswerFold
from myna.api.chat.check import check_abilities, check_combinations, check_conversation
from myna.api.chat.chunks import ChunkRenderer
from myna.api.chat.convert import asked_tokens, num_logprobs, to_conversation, to_response_spec
from myna.api.chat.schema import ChatRequest
from myna.api.chat.storing import check_storable, store
from myna.catalog.pool import ServedModel
from myna.core.errors import WrongEndpoint
from myna.core.requests import GenerationRequest
from myna.generation.budgets import longest_answer
from myna.generation.conversation import to_generation
from myna.generation.storing import StoredStream
from myna.generation.tenant import Tenant, tenant_of
from myna.generation.tool_choice import ResolvedTools
from myna.http.streaming import collect
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.request.fingerprint import system_fingerprint
from myna.request.relaying import answer_relayed
from myna.wire.ids import completion_id
from myna.wire.parameters import CHAT


async def create_chat_completion(context: RequestContext) -> None:
    """Everything that can be refused is, before the first byte."""
    require(context.principal, "model.request")
    body = await context.json_object()
    card = context.requested_card(body)
    if card.is_relayed:
        await answer_relayed(context, card, body, "chat/completions")
        return
    request = await context.validated(ChatRequest, body, CHAT)
    context.record.user = request.user or request.safety_identifier or ""
    check_combinations(request)
    async with context.response_sender(is_stream=bool(request.stream)) as response:
        model = await context.open_model(card)
        if request.store:
            await context.in_text_thread(check_storable, body)
        most_tokens = context.services.max_answer_tokens
        generation, tools = await context.in_text_thread(
            _prepare, request, model, tenant_of(context.principal), context.id, most_tokens
        )
        events = await context.generate(model, [generation], is_unbounded=asked_tokens(request) is None)
        created = int(time.time())
        spec = to_response_spec(
            request,
            tools,
            id=completion_id("chatcmpl-", created),
            created=created,
            model=card.id,
            fingerprint=system_fingerprint(model, most_tokens),
        )
        fold = AnswerFold(spec)
        keep = partial(store, context, request, body, generation.sampling.seed, fold)
        if request.stream:
            if request.store:
                events = StoredStream(events, fold.feed, keep)
            await response.send_events(events, ChunkRenderer(spec))
        else:
            await collect(events, fold)
            if request.store:
                await keep()
            await response.send_body(fold.parts())


def _prepare(
    request: ChatRequest, model: ServedModel, tenant: Tenant, id: str, most_tokens: int
) -> tuple[GenerationRequest, ResolvedTools | None]:
    """What the model is asked, and which tools it may call. A long conversation takes a while: in threads."""
    if not model.renderer.has_chat_template:
        raise WrongEndpoint(
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
            "Did you mean to use v1/completions?",
            param="model",
        )
    info = model.generator.info
    longest = longest_answer(most_tokens, request.n or 1, num_logprobs(request))
    check_abilities(request, info, longest)
    check_conversation(request.messages)
    asked = to_conversation(request)
    return to_generation(asked, model.renderer, info, tenant, id=id, most_tokens=longest)


ENDPOINTS: Final = (
    Endpoint("POST", "/v1/chat/completions", create_chat_completion, recorded_as="chat.completions"),
)

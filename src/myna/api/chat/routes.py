"""`POST /v1/chat/completions`: one function from the request to the last byte of the response."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from myna.api.chat.answer import ChatCompletionAccumulator
from myna.api.chat.check import check_combinations, check_conversation, check_model_support
from myna.api.chat.chunks import ChatChunkRenderer
from myna.api.chat.convert import num_logprobs, requested_tokens, to_conversation, to_response_spec
from myna.api.chat.schema import ChatRequest
from myna.api.chat.storing import may_store, store
from myna.catalog.pool import ServedModel
from myna.core.errors import WrongEndpoint
from myna.core.requests import GenerationRequest
from myna.generation.budgets import AnswerLimits
from myna.generation.conversation import to_generation
from myna.generation.storing import StoredStream
from myna.generation.tenant import Tenant, tenant_of
from myna.generation.tool_choice import ResolvedTools
from myna.http.streaming import collect
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.request.fingerprint import system_fingerprint
from myna.request.relaying import answer_relayed
from myna.request.service_tiers import served_tier
from myna.wire.ids import completion_id
from myna.wire.parameters import CHAT


async def create_chat_completion(context: RequestContext) -> None:
    """Everything that can be rejected is rejected before the first byte."""
    require(context.principal, "model.request")
    body = await context.json_object()
    card = context.requested_card(body)
    if card.is_relayed:
        await answer_relayed(context, card, body, "chat/completions")
        return
    request = await context.validated(ChatRequest, body, CHAT, may_ignore=True)
    context.record.user = request.user or request.safety_identifier or ""
    check_combinations(request)
    async with context.response_sender(is_stream=bool(request.stream)) as response:
        model = await context.open_model(card)
        is_stored = bool(request.store) and await may_store(context, body)
        limits = context.services.answer_limits
        tier = await served_tier(context, request.service_tier, card)
        generation, tools = await context.in_text_thread(
            _prepare,
            request,
            tier,
            model,
            tenant_of(context.principal),
            context.id,
            limits,
            context.record.hint,
        )
        events = await context.generate(model, [generation], is_unbounded=requested_tokens(request) is None)
        created = int(time.time())
        spec = to_response_spec(
            request,
            tools,
            id=completion_id("chatcmpl-", created),
            created=created,
            model=card.id,
            service_tier=tier,
            fingerprint=system_fingerprint(model, limits.max_tokens),
        )
        accumulator = ChatCompletionAccumulator(spec)
        store_answer = partial(store, context, request, body, generation.sampling, accumulator)
        if request.stream:
            if is_stored:
                events = StoredStream(events, accumulator.feed, store_answer)
            await response.send_events(events, ChatChunkRenderer(spec))
        else:
            await collect(events, accumulator)
            if is_stored:
                await store_answer()
            await response.send_body(accumulator.parts())


def _prepare(
    request: ChatRequest,
    tier: str,
    model: ServedModel,
    tenant: Tenant,
    id: str,
    limits: AnswerLimits,
    hint: Callable[[str], object],
) -> tuple[GenerationRequest, ResolvedTools | None]:
    """The generation request, and the tools that may be called. Slow for a long conversation: runs in a
    thread."""
    if not model.renderer.has_chat_template:
        raise WrongEndpoint(
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
            "Did you mean to use v1/completions?",
            param="model",
        )
    info = model.generator.info
    limits = limits.within(request.n or 1, num_logprobs(request))
    check_model_support(request, info, limits)
    check_conversation(request.messages)
    conversation = to_conversation(request, model.sampling, tier)
    return to_generation(conversation, model.renderer, info, tenant, id=id, limits=limits, hint=hint)


ENDPOINTS: Final = (
    Endpoint("POST", "/v1/chat/completions", create_chat_completion, recorded_as="chat.completions"),
)

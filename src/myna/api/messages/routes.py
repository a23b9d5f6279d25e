"""`POST /v1/messages` and `/v1/messages/count_tokens`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.responses import Response

from myna.api.messages.answer import MessageAccumulator
from myna.api.messages.convert import marks_cache, to_conversation, to_prompt
from myna.api.messages.response_spec import ResponseSpec
from myna.api.messages.schema import MessagesRequest, PromptRequest
from myna.api.messages.stream import MessageFraming, MessageRenderer, message_start
from myna.catalog.pool import ServedModel
from myna.catalog.registry import ModelCard
from myna.core.errors import InvalidRequest, ModelNotFound, WrongEndpoint
from myna.core.requests import GenerationRequest
from myna.generation.budgets import AnswerLimits
from myna.generation.conversation import count_prompt, to_generation
from myna.generation.tenant import Tenant, context_length, tenant_of
from myna.generation.tool_choice import ResolvedTools
from myna.generation.usage import TokenUsage
from myna.http.streaming import collect
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.request.relaying import answer_relayed, uncounted
from myna.wire.anthropic import MESSAGES_PATH
from myna.wire.anthropic_parameters import COUNT_TOKENS, MESSAGES
from myna.wire.anthropic_validation import validate_anthropic
from myna.wire.ids import message_id

_NO_OBJECT: Final = "The request body must be a JSON object."


async def create_message(context: RequestContext) -> None:
    """Everything that can be rejected is rejected before the first byte."""
    require(context.principal, "model.request")
    body = await context.json_object(_NO_OBJECT)
    card = _requested_card(context, body)
    framing = MessageFraming()
    if card.is_relayed:
        await answer_relayed(context, card, body, "messages", framing)
        return
    request = await context.validated(
        MessagesRequest, body, MESSAGES, may_ignore=True, validator=validate_anthropic
    )
    context.record.user = (request.metadata and request.metadata.user_id) or ""
    async with context.response_sender(is_stream=bool(request.stream), events=framing) as response:
        model = await context.open_model(card)
        limits = context.services.answer_limits
        prepared = await context.in_text_thread(
            _prepare, request, model, tenant_of(context.principal), context.id, limits, context.record.hint
        )
        events = await context.generate(model, [prepared.generation])
        spec = _spec(request, card, prepared)
        if request.stream:
            prompt = TokenUsage(len(prepared.generation.prompt_tokens))
            framing.accept(message_start(spec, prompt))
            await response.send_events(events, MessageRenderer(spec, framing))
        else:
            await response.send_body((await collect(events, MessageAccumulator(spec))).parts())


async def count_tokens(context: RequestContext) -> Response:
    """The tokens of the prompt that a request would have."""
    require(context.principal, "model.request")
    body = await context.json_object(_NO_OBJECT)
    card = _requested_card(context, body)
    if card.is_relayed:
        raise uncounted(card)
    request = await context.validated(
        PromptRequest, body, COUNT_TOKENS, may_ignore=True, validator=validate_anthropic
    )
    model = await context.open_model(card)
    num_tokens = await context.in_text_thread(_count, request, model, context.record.hint)
    return Response(orjson.dumps({"input_tokens": num_tokens}), media_type="application/json")


ENDPOINTS: Final = (
    Endpoint("POST", MESSAGES_PATH, create_message, names_organization=False, recorded_as="messages"),
    Endpoint("POST", f"{MESSAGES_PATH}/count_tokens", count_tokens, names_organization=False),
)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The generation, the tools that it may call, and whether the context ends before its requested limit."""

    generation: GenerationRequest
    tools: ResolvedTools | None
    ends_with_context: bool


def _prepare(
    request: MessagesRequest,
    model: ServedModel,
    tenant: Tenant,
    id: str,
    limits: AnswerLimits,
    hint: Callable[[str], object],
) -> _Prepared:
    """Slow for a long conversation: runs in a thread."""
    _check_is_chat(model)
    info = model.generator.info
    limits.check("max_tokens", request.max_tokens)
    generation, tools = to_generation(
        to_conversation(request, model.sampling, hint),
        model.renderer,
        info,
        tenant,
        id=id,
        limits=limits,
        hint=hint,
    )
    is_cut = generation.max_tokens < request.max_tokens
    is_full = len(generation.prompt_tokens) + generation.max_tokens >= context_length(info)
    return _Prepared(generation, tools, is_cut and is_full)


def _count(request: PromptRequest, model: ServedModel, hint: Callable[[str], object]) -> int:
    _check_is_chat(model)
    return count_prompt(to_prompt(request, hint), model.renderer, model.generator.info)


def _spec(request: MessagesRequest, card: ModelCard, prepared: _Prepared) -> ResponseSpec:
    return ResponseSpec(
        id=message_id(),
        model=card.id,
        tools=prepared.tools,
        shows_thoughts=request.thinking is None or request.thinking.display != "omitted",
        marks_cache=marks_cache(request),
        ends_with_context=prepared.ends_with_context,
    )


def _requested_card(context: RequestContext, body: Mapping[str, object]) -> ModelCard:
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(
            "model: Input should be a valid string"
            if name is not None and name != ""
            else "model: Field required"
        )
    try:
        return context.find_card(name)
    except ModelNotFound as exc:
        context.record.hint(exc.message)
        raise ModelNotFound(f"model: {context.record.model}") from exc


def _check_is_chat(model: ServedModel) -> None:
    if not model.renderer.has_chat_template:
        raise WrongEndpoint("model: this is not a chat model; only v1/completions supports it")

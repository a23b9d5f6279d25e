"""`POST /v1/chat/completions`: from a request to its stream of events, and to one of the two endings."""

import time
from functools import partial
from typing import Final, TypeVar

from myna.api.chat.answer import AnswerFold
from myna.api.chat.check import check_abilities, check_combinations, check_conversation
from myna.api.chat.chunks import ChunkRenderer
from myna.api.chat.convert import (
    answer_format,
    asked_tokens,
    declared_tools,
    to_generation,
    to_messages,
    to_response_spec,
    tool_choice,
)
from myna.api.chat.schema import ChatRequest
from myna.api.chat.storing import Kept, keeper
from myna.catalog.listing import ModelCard
from myna.catalog.pool import ServedModel
from myna.core.errors import WrongEndpoint
from myna.core.generator import EventStream
from myna.core.requests import Constraint, Sampling
from myna.generation.budgets import encode_conversation, encode_prediction
from myna.generation.reasoning import Reasoning, reasoning_for
from myna.generation.tool_choice import (
    AnswerFormat,
    ResolvedTools,
    answer_constraint,
    check_tools,
    resolve_tools,
)
from myna.serving.call import Answer, Call, Endpoint
from myna.serving.deps import require
from myna.serving.fingerprint import system_fingerprint
from myna.serving.ids import completion_id
from myna.serving.parameters import CHAT
from myna.serving.requester import requester_of, room
from myna.serving.streaming import EventStreamAnswer, WholeAnswer
from myna.serving.validation import validate

T = TypeVar("T", ChunkRenderer, AnswerFold)


async def create_chat_completion(call: Call) -> Answer:
    """Everything that can be refused is, before the first byte."""
    require(call.principal, "model.request")
    body = await call.json_object()
    card = call.card(body)
    request = validate(ChatRequest, body, CHAT)
    call.record.user = request.user or request.safety_identifier or ""
    check_combinations(request)
    if not request.stream:
        return WholeAnswer(partial(_open, call, card, body, request, AnswerFold))
    return EventStreamAnswer(
        partial(_open, call, card, body, request, ChunkRenderer), keep_alive_s=call.services.keep_alive_s
    )


async def _open(
    call: Call, card: ModelCard, body: dict[str, object], request: ChatRequest, ending: type[T]
) -> tuple[EventStream, T]:
    """The model, after its load if need be; the conversation's tokens; admission."""
    model = await call.open(card)
    if not model.prompting.has_chat_template:
        raise WrongEndpoint(
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
            "Did you mean to use v1/completions?",
            param="model",
        )
    info, most_tokens = model.generator.info, call.services.max_answer_tokens
    check_abilities(request, info, most_tokens)
    reasoning = reasoning_for(request.reasoning_effort, model.prompting.thinking, param="reasoning_effort")
    answer = answer_format(request)
    tools = resolve_tools(
        declared_tools(request),
        tool_choice(request),
        model.prompting.tool_format,
        is_parallel=request.parallel_tool_calls is not False and not request.functions,
        answer=answer,
    )
    check_conversation(request.messages)
    constraint = await call.in_text_thread(_constraint, answer, tools) if answer or tools else None
    prompt_tokens, prediction_tokens = await _tokens(call, request, model, tools, reasoning)
    generation = to_generation(
        request,
        prompt_tokens,
        room(info),
        requester_of(call.principal),
        id=call.id,
        defaults=Sampling(),
        most_tokens=most_tokens,
        constraint=constraint,
        reasoning=reasoning,
        prediction_tokens=prediction_tokens,
    )
    stream: EventStream = await call.generate(model, [generation], is_open=asked_tokens(request) is None)
    created = int(time.time())
    spec = to_response_spec(
        request,
        tools,
        id=completion_id("chatcmpl-", created),
        created=created,
        model=card.id,
        fingerprint=system_fingerprint(model, most_tokens),
    )
    if request.store:
        keep = keeper(call, request, body, generation.sampling.seed)
        stream = Kept(stream, AnswerFold(spec), keep)
    return stream, ending(spec)


async def _tokens(
    call: Call, request: ChatRequest, model: ServedModel, tools: ResolvedTools | None, reasoning: Reasoning
) -> tuple[list[int], list[int]]:
    """Those of the conversation and of the prediction."""
    prompting, context_tokens = model.prompting, room(model.generator.info)
    prompt = await call.in_text_thread(
        encode_conversation,
        to_messages(request.messages),
        tools.specs if tools else (),
        prompting,
        context_tokens,
        asked=asked_tokens(request),
        switches=reasoning.switches,
        param="messages",
    )
    if request.prediction is None:
        return prompt, []
    text = request.prediction.text()
    return prompt, await call.in_text_thread(encode_prediction, text, prompting, context_tokens)


def _constraint(answer: AnswerFormat | None, tools: ResolvedTools | None) -> Constraint | None:
    """Reading schemas can take a while: runs in a thread."""
    if tools is not None:
        check_tools(tools)
    return answer_constraint(answer, tools)


ENDPOINTS: Final = (
    Endpoint("POST", "/v1/chat/completions", create_chat_completion, bills="chat.completions"),
)

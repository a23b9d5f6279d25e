"""`POST /v1/chat/completions`: one function from the request to the last byte of its answer."""

import time
from functools import partial
from typing import Final

from myna.api.chat.answer import AnswerFold
from myna.api.chat.check import check_abilities, check_combinations, check_conversation
from myna.api.chat.chunks import ChunkRenderer
from myna.api.chat.convert import (
    answer_format,
    asked_tokens,
    declared_tools,
    num_logprobs,
    to_generation,
    to_messages,
    to_response_spec,
    tool_choice,
)
from myna.api.chat.schema import ChatRequest
from myna.api.chat.storing import store
from myna.catalog.pool import ServedModel
from myna.core.errors import WrongEndpoint
from myna.core.requests import GenerationRequest, Sampling
from myna.generation.budgets import encode_conversation, encode_prediction, longest_answer
from myna.generation.reasoning import Reasoning, reasoning_for
from myna.generation.storing import StoredStream
from myna.generation.tool_choice import ResolvedTools, answer_constraint, resolve_tools
from myna.serving.call import Call, Endpoint
from myna.serving.deps import require
from myna.serving.fingerprint import system_fingerprint
from myna.serving.ids import completion_id
from myna.serving.parameters import CHAT
from myna.serving.relaying import answer_relayed
from myna.serving.requester import requester_of, room
from myna.serving.streaming import collect
from myna.serving.validation import validate


async def create_chat_completion(call: Call) -> None:
    """Everything that can be refused is, before the first byte."""
    require(call.principal, "model.request")
    body = await call.json_object()
    card = call.card(body)
    if card.is_relayed:
        await answer_relayed(call, card, body, "chat/completions")
        return
    request = validate(ChatRequest, body, CHAT)
    call.record.user = request.user or request.safety_identifier or ""
    check_combinations(request)
    async with call.answering(is_stream=bool(request.stream)) as answer:
        model = await call.open(card)
        generation, tools = await _to_generation(call, request, model)
        events = await call.generate(model, [generation], is_open=asked_tokens(request) is None)
        created = int(time.time())
        spec = to_response_spec(
            request,
            tools,
            id=completion_id("chatcmpl-", created),
            created=created,
            model=card.id,
            fingerprint=system_fingerprint(model, call.services.max_answer_tokens),
        )
        fold = AnswerFold(spec)
        keep = partial(store, call, request, body, generation.sampling.seed, fold)
        if request.stream:
            if request.store:
                events = StoredStream(events, fold.feed, keep)
            await answer.send_events(events, ChunkRenderer(spec))
        else:
            await collect(events, fold)
            if request.store:
                await keep()
            await answer.send_body(fold.parts())


async def _to_generation(
    call: Call, request: ChatRequest, model: ServedModel
) -> tuple[GenerationRequest, ResolvedTools | None]:
    """What the model is asked, and which tools it may call."""
    renderer, info = model.renderer, model.generator.info
    if not renderer.has_chat_template:
        raise WrongEndpoint(
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
            "Did you mean to use v1/completions?",
            param="model",
        )
    most_tokens = longest_answer(call.services.max_answer_tokens, request.n or 1, num_logprobs(request))
    check_abilities(request, info, most_tokens)
    reasoning = reasoning_for(request.reasoning_effort, renderer.thinking, param="reasoning_effort")
    form = answer_format(request)
    tools = resolve_tools(
        declared_tools(request),
        tool_choice(request),
        renderer.tool_format,
        is_parallel=request.parallel_tool_calls is not False and not request.functions,
        answer=form,
    )
    check_conversation(request.messages)
    constraint = await call.in_text_thread(answer_constraint, form, tools) if form or tools else None
    prompt_tokens, prediction_tokens = await call.in_text_thread(_encode, request, model, tools, reasoning)
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
    return generation, tools


def _encode(
    request: ChatRequest, model: ServedModel, tools: ResolvedTools | None, reasoning: Reasoning
) -> tuple[list[int], list[int]]:
    """The tokens of the conversation and of the prediction."""
    context_tokens = room(model.generator.info)
    prompt = encode_conversation(
        to_messages(request.messages),
        tools.specs if tools else (),
        model.renderer,
        context_tokens,
        asked=asked_tokens(request),
        switches=reasoning.switches,
        param="messages",
    )
    if request.prediction is None:
        return prompt, []
    return prompt, encode_prediction(request.prediction.text(), model.renderer, context_tokens)


ENDPOINTS: Final = (
    Endpoint("POST", "/v1/chat/completions", create_chat_completion, bills="chat.completions"),
)

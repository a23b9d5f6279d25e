"""`POST /v1/chat/completions`: from a request to its stream of events, and to one of the two endings."""

import time
from functools import partial
from typing import Final, TypeVar

from myna.api.chat.answer import AnswerFold
from myna.api.chat.check import check_abilities, check_combinations, check_conversation
from myna.api.chat.chunks import ChunkRenderer
from myna.api.chat.convert import asked_tokens, to_generation, to_plan
from myna.api.chat.encoding import encode, encode_prediction
from myna.api.chat.keeping import Kept, check_storable, keeper
from myna.api.chat.schema import ChatRequest
from myna.api.chat.thought_use import ThoughtUse, thought_use
from myna.api.chat.tool_use import ToolUse, answer_constraint, tool_use
from myna.catalog.listing import ModelCard
from myna.catalog.pool import ServedModel
from myna.core.constraints import Constraint
from myna.core.errors import WrongEndpoint
from myna.core.generator import EventStream
from myna.core.requests import Sampling
from myna.prompts.tools import ToolFormat
from myna.serving.call import Answer, Call, Endpoint
from myna.serving.deps import require
from myna.serving.fingerprint import system_fingerprint
from myna.serving.ids import completion_id
from myna.serving.parameters import CHAT
from myna.serving.requester import requester_of, room
from myna.serving.streaming import EventStreamAnswer, WholeAnswer

T = TypeVar("T", ChunkRenderer, AnswerFold)


async def create_chat_completion(call: Call) -> Answer:
    """Everything that can be refused is, before the first byte."""
    require(call.principal, "model.request")
    body = await call.json_object()
    card = call.card(body)
    request = await call.validated(ChatRequest, body, CHAT)
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
    if request.store:
        await call.in_text_thread(check_storable, body)
    info, most_tokens = model.generator.info, call.services.max_answer_tokens
    check_abilities(request, info, most_tokens)
    thinks = thought_use(request.reasoning_effort, model.prompting.thinking)
    check_conversation(request.messages)
    use, constraint = None, None
    if request.tools or request.functions or request.response_format is not None:
        use, constraint = await call.in_text_thread(_constraint, request, model.prompting.tool_format)
    prompt_tokens, prediction_tokens = await _tokens(call, request, model, use, thinks)
    generation = to_generation(
        request,
        prompt_tokens,
        room(info),
        requester_of(call.principal),
        id=call.id,
        defaults=Sampling(),
        most_tokens=most_tokens,
        constraint=constraint,
        thinks=thinks,
        prediction_tokens=prediction_tokens,
    )
    stream: EventStream = await call.generate(model, [generation], is_open=asked_tokens(request) is None)
    created = int(time.time())
    plan = to_plan(
        request,
        use,
        id=completion_id("chatcmpl-", created),
        created=created,
        model=card.id,
        fingerprint=system_fingerprint(model, most_tokens),
    )
    if request.store:
        keep = keeper(call, request, body, generation.sampling.seed)
        stream = Kept(stream, AnswerFold(plan), keep)
    return stream, ending(plan)


async def _tokens(
    call: Call, request: ChatRequest, model: ServedModel, use: ToolUse | None, thinks: ThoughtUse
) -> tuple[list[int], list[int]]:
    """Those of the conversation and of the prediction."""
    prompting, context_tokens = model.prompting, room(model.generator.info)
    prompt = await call.in_text_thread(
        encode,
        request.messages,
        use.declared if use else (),
        prompting,
        context_tokens,
        asked_tokens(request),
        thinks.switches,
    )
    if request.prediction is None:
        return prompt, []
    text = request.prediction.text()
    return prompt, await call.in_text_thread(encode_prediction, text, prompting, context_tokens)


def _constraint(request: ChatRequest, form: ToolFormat) -> tuple[ToolUse | None, Constraint | None]:
    """The tools and what the answer must follow. Reading schemas can take a while: runs in a thread."""
    use = tool_use(request, form)
    return use, answer_constraint(request.response_format, use)


ENDPOINTS: Final = (
    Endpoint("POST", "/v1/chat/completions", create_chat_completion, bills="chat.completions"),
)

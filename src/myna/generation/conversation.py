"""From a conversation, whichever endpoint it came to, to the generation that its model is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from myna.core.conversation import Message
from myna.core.generator import ModelInfo
from myna.core.renderer import Renderer
from myna.core.requests import GenerationRequest, Sampling
from myna.generation.budgets import encode_conversation, encode_prediction, room_for_answer
from myna.generation.reasoning import reasoning_for
from myna.generation.service_tier import priority
from myna.generation.tenant import Tenant, context_length
from myna.generation.tool_choice import (
    ANY_TOOL,
    AnswerFormat,
    DeclaredTool,
    ResolvedTools,
    ToolChoice,
    answer_constraint,
    resolve_tools,
)


@dataclass(frozen=True, slots=True)
class ConversationRequest:
    """What is asked of a chat model. `asked_tokens` None: as many as there is room for; `effort` and
    `service_tier` as they were sent; `num_logprobs` as in `GenerationRequest`. `messages_param` and
    `effort_param` are where the endpoint's request has these two, for errors."""

    messages: Sequence[Message]
    sampling: Sampling
    asked_tokens: int | None = None
    num_choices: int = 1
    num_logprobs: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[DeclaredTool, ...] = ()
    tool_choice: ToolChoice = ANY_TOOL
    is_parallel: bool = True
    answer: AnswerFormat | None = None
    effort: str | None = None
    service_tier: str | None = None
    prediction: str | None = None
    ignore_eos: bool = False
    is_stream: bool = False
    messages_param: str = "messages"
    effort_param: str = "reasoning_effort"


def to_generation(
    asked: ConversationRequest,
    renderer: Renderer,
    info: ModelInfo,
    tenant: Tenant,
    *,
    id: str,
    most_tokens: int,
) -> tuple[GenerationRequest, ResolvedTools | None]:
    """The generation, and the tools that its answer may call. Reads schemas, renders and tokenizes, which can
    take a while: call it in a thread.

    `most_tokens` is how long the server lets an answer be (0: no limit). Raises `InvalidRequest` for what
    this model can't be asked for, `ContextLengthExceeded` for what doesn't fit it.
    """
    context_tokens = context_length(info)
    reasoning = reasoning_for(asked.effort, renderer.thinking, param=asked.effort_param)
    tools = resolve_tools(
        asked.tools,
        asked.tool_choice,
        renderer.tool_format,
        is_parallel=asked.is_parallel,
        answer=asked.answer,
    )
    constraint = answer_constraint(asked.answer, tools)
    prompt = encode_conversation(
        asked.messages,
        tools.specs if tools else (),
        renderer,
        context_tokens,
        asked=asked.asked_tokens,
        switches=reasoning.switches,
        param=asked.messages_param,
    )
    prediction = encode_prediction(asked.prediction, renderer, context_tokens) if asked.prediction else []
    generation = GenerationRequest(
        id=id,
        prompt_tokens=tuple(prompt),
        max_tokens=room_for_answer(
            len(prompt), asked.asked_tokens, context_tokens, most_tokens, param=asked.messages_param
        ),
        num_choices=asked.num_choices,
        best_of=asked.num_choices,
        sampling=asked.sampling,
        stop=asked.stop,
        num_logprobs=asked.num_logprobs,
        constraint=reasoning.constraint(constraint),
        ignore_eos=asked.ignore_eos,
        prediction_tokens=tuple(prediction),
        priority=priority(asked.service_tier),
        owner=tenant.owner,
        cache_salt=tenant.cache_salt,
        is_collected=not asked.is_stream,
        thought=reasoning.thought,
    )
    return generation, tools

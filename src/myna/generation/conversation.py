"""Converts a conversation of any endpoint to a generation request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from msgspec.structs import replace

from myna.core.constraints import Constraint
from myna.core.conversation import Message
from myna.core.errors import InvalidRequest
from myna.core.functionary import TO_ALL
from myna.core.generator import ModelInfo
from myna.core.renderer import Renderer, Thinking
from myna.core.requests import NO_CALLS, CallMarks, GenerationRequest, Sampling
from myna.generation.budgets import (
    AnswerLimits,
    check_min_tokens,
    encode_conversation,
    encode_prediction,
    remaining_tokens,
)
from myna.generation.hints import unenforced_hint
from myna.generation.reasoning import PROMPT_END_TOKENS, Reasoning, as_prompted, reasoning_for, within
from myna.generation.service_tier import priority
from myna.generation.tenant import Tenant, context_length
from myna.generation.tool_choice import (
    ANY_TOOL,
    Answer,
    DeclaredTool,
    ResolvedTools,
    ToolChoice,
    answer_constraint,
    resolve_tools,
)
from myna.prompts.call_formats.table import FORMATS


@dataclass(frozen=True, slots=True)
class ConversationRequest:
    """A request to a chat model. `requested_tokens` None: as many as fit; `effort` as it was sent; `thinks`
    switches reasoning on or off unless there is an `effort`; `max_thought_tokens` limits it (0: as the effort
    does); `prefill` is the beginning of the answer, which it continues; `template_variables` are the client's
    own; `service_tier` the one that serves it; `num_logprobs` as in `GenerationRequest`. `messages_param` is
    the endpoint's parameter with the messages, for errors."""

    messages: Sequence[Message]
    sampling: Sampling
    requested_tokens: int | None = None
    num_choices: int = 1
    num_logprobs: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    min_tokens: int = 0
    tools: tuple[DeclaredTool, ...] = ()
    tool_choice: ToolChoice = ANY_TOOL
    is_parallel: bool = True
    answer: Answer | None = None
    effort: str | None = None
    thinks: bool | None = None
    max_thought_tokens: int = 0
    prefill: str = ""
    template_variables: Mapping[str, object] = field(default_factory=dict)
    service_tier: str = "default"
    prediction: str | None = None
    ignore_eos: bool = False
    is_stream: bool = False
    messages_param: str = "messages"


def to_generation(
    request: ConversationRequest,
    renderer: Renderer,
    info: ModelInfo,
    tenant: Tenant,
    *,
    id: str,
    limits: AnswerLimits,
    hint: Callable[[str], object],
) -> tuple[GenerationRequest, ResolvedTools | None]:
    """The generation request, and the tools that its answer may call. Reads schemas, renders and tokenizes,
    which is slow: call it in a thread.

    `hint` is called with what the client should know and no error says. Raises `InvalidRequest` for what this
    model doesn't support, `ContextLengthExceeded` for what doesn't fit its context.
    """
    context_tokens = context_length(info)
    reasoning = _reasoning(request, renderer.thinking)
    tools, constraint = _constrained(request, renderer.call_format, hint)
    requested = request.requested_tokens if limits.is_strict else None
    prompt = _prompt(request, tools, reasoning, renderer, context_tokens, requested)
    prediction = encode_prediction(request.prediction, renderer, context_tokens) if request.prediction else []
    return GenerationRequest(
        id=id,
        prompt_tokens=tuple(prompt),
        max_tokens=_max_tokens(request, len(prompt), context_tokens, limits),
        num_choices=request.num_choices,
        best_of=request.num_choices,
        sampling=request.sampling,
        stop=request.stop,
        stop_token_ids=request.stop_token_ids,
        min_tokens=request.min_tokens,
        num_logprobs=request.num_logprobs,
        constraint=reasoning.constraint(constraint),
        ignore_eos=request.ignore_eos,
        prediction_tokens=tuple(prediction),
        priority=tenant.priority(priority(request.service_tier)),
        owner=tenant.owner,
        cache_salt=tenant.cache_salt,
        is_collected=not request.is_stream,
        thought=as_prompted(reasoning.thought, renderer.decode(prompt[-PROMPT_END_TOKENS:])),
        calls=_call_marks(request, tools),
        session=_session(request.messages),
    ), tools


def _session(messages: Sequence[Message]) -> str:
    """The same for all turns of a conversation: what it begins with, up to the user's first message."""
    digest = blake2b(digest_size=16)
    for message in messages:
        digest.update(f"{message.role}\0{message.text}\0".encode(errors="surrogatepass"))
        if message.role == "user":
            break
    return digest.hexdigest()


def count_prompt(request: ConversationRequest, renderer: Renderer, info: ModelInfo) -> int:
    """The number of tokens of the prompt that `to_generation` makes. Likewise slow, and raises as it does."""
    reasoning = _reasoning(request, renderer.thinking)
    tools = _tools(request, renderer.call_format)
    return len(_prompt(request, tools, reasoning, renderer, context_length(info), None))


def _prompt(
    request: ConversationRequest,
    tools: ResolvedTools | None,
    reasoning: Reasoning,
    renderer: Renderer,
    context_tokens: int,
    requested: int | None,
) -> list[int]:
    return encode_conversation(
        request.messages,
        tools.specs if tools else (),
        renderer,
        context_tokens,
        requested=requested,
        switches={**request.template_variables, **reasoning.switches},
        param=request.messages_param,
        prefill=_beginning(request, tools, renderer.call_format),
    )


def _beginning(request: ConversationRequest, tools: ResolvedTools | None, call_format: str) -> str:
    """What the answer begins with in the prompt: of a model that names recipients, also that of text, unless
    it may be a call."""
    may_call = tools is not None and bool(tools.callable) and not request.prefill
    has_recipients = FORMATS[call_format].marks.has_recipients and not may_call
    return (TO_ALL if has_recipients else "") + request.prefill


def _call_marks(request: ConversationRequest, tools: ResolvedTools | None) -> CallMarks:
    if tools is None:
        return NO_CALLS
    # The recipient of an answer that has begun is in the prompt.
    return replace(tools.marks, has_recipients=False) if request.prefill else tools.marks


def _reasoning(request: ConversationRequest, thinking: Thinking | None) -> Reasoning:
    """How the model reasons. Raises `InvalidRequest` for a prefilled answer of one that must reason first."""
    if not request.prefill:
        reasoning = reasoning_for(_effort(request, thinking), thinking)
        return within(reasoning, request.max_thought_tokens, thinking)
    reasoning = reasoning_for("none", thinking)
    if reasoning.thought is not None and not reasoning.thought.is_optional:
        raise InvalidRequest(
            "This model reasons before each answer and can't continue an answer that has begun. End the "
            "messages with one of the user's.",
            param=request.messages_param,
        )
    has_marks = reasoning.thought is not None and reasoning.thought.close
    return Reasoning(reasoning.switches, reasoning.thought if has_marks else None)


def _effort(request: ConversationRequest, thinking: Thinking | None) -> str | None:
    """The requested effort; without one, what `thinks` means for a model that can switch reasoning."""
    if request.effort is not None or request.thinks is None or thinking is None or not thinking.is_known:
        return request.effort
    if not request.thinks:
        return "none" if thinking.can_skip else None
    return None if thinking.is_default else "max"


def _constrained(
    request: ConversationRequest, call_format: str, hint: Callable[[str], object]
) -> tuple[ResolvedTools | None, Constraint | None]:
    """The request's tools, and the constraint on its answer."""
    tools = _tools(request, call_format)
    constraint = answer_constraint(request.answer, tools)
    if text := unenforced_hint(constraint):
        hint(text)
    return tools, constraint


def _tools(request: ConversationRequest, call_format: str) -> ResolvedTools | None:
    return resolve_tools(
        request.tools,
        request.tool_choice,
        call_format,
        is_parallel=request.is_parallel,
        answer=request.answer,
    )


def _max_tokens(
    request: ConversationRequest, prompt_tokens: int, context_tokens: int, limits: AnswerLimits
) -> int:
    max_tokens = remaining_tokens(
        prompt_tokens, request.requested_tokens, context_tokens, limits, param=request.messages_param
    )
    check_min_tokens(request.min_tokens, max_tokens)
    return max_tokens

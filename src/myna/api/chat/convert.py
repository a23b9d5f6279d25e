"""A chat request in core's terms. Pure: no model is asked and nothing is read."""

from collections.abc import Sequence
from typing import Final, NoReturn

from myna.api.chat.messages import Message as WireMessage
from myna.api.chat.plan import Plan
from myna.api.chat.schema import ChatRequest
from myna.api.chat.thought_use import NO_THOUGHT, ThoughtUse
from myna.api.chat.tool_use import ToolUse
from myna.core.constraints import Constraint
from myna.core.errors import ContextLengthExceeded
from myna.core.requests import GenerationRequest, Sampling
from myna.prompts.custom_input import as_arguments
from myna.prompts.messages import Message, ToolCall
from myna.serving.requester import Requester
from myna.serving.sampling import to_sampling

_SERVED_TIERS: Final = {"flex": "flex", "priority": "priority", "fast": "priority"}
_PRIORITIES: Final = {"flex": -1, "default": 0, "priority": 1}


def to_messages(messages: Sequence[WireMessage]) -> list[Message]:
    """The conversation as templates take it: calls have ids there, those of `functions` too."""
    conversation, num_functions = list[Message](), 0
    for message in messages:
        num_functions += message.function_call is not None
        is_result = message.role == "function"
        conversation.append(
            Message(
                role="tool" if is_result else message.role,
                content=None if message.content is None and message.refusal is None else _text(message),
                name=message.name,
                tool_calls=_calls(message, num_functions),
                tool_call_id=_function_id(num_functions) if is_result else message.tool_call_id,
                reasoning=message.reasoning_content or message.reasoning,
            )
        )
    return conversation


def _calls(message: WireMessage, num_functions: int) -> tuple[ToolCall, ...]:
    if message.function_call is not None:
        call = message.function_call
        return (ToolCall(_function_id(num_functions), call.name, call.arguments),)
    calls = []
    for made in message.tool_calls or ():
        if made.function is not None:
            calls.append(ToolCall(made.id, made.function.name, made.function.arguments))
        elif made.custom is not None:
            calls.append(ToolCall(made.id, made.custom.name, as_arguments(made.custom.input)))
    return tuple(calls)


def _function_id(number: int) -> str:
    """An id for a call that has none, of a length that every template takes."""
    return f"call{number:05}"


def _text(message: WireMessage) -> str:
    """What was said: the content, or the refusal where there is none."""
    return message.text() or message.refusal or ""


def to_plan(
    request: ChatRequest,
    use: ToolUse | None,
    *,
    id: str,
    created: int,
    model: str,
    fingerprint: str | None,
) -> Plan:
    """The shape of the answer."""
    options = request.stream_options
    reads_calls = use is not None and bool(use.callable)
    return Plan(
        id=id,
        created=created,
        model=model,
        service_tier=served_tier(request.service_tier),
        fingerprint=fingerprint,
        num_choices=request.n or 1,
        wants_logprobs=bool(request.logprobs),
        include_usage=bool(options and options.include_usage),
        obfuscate=not (options and options.include_obfuscation is False),
        tool_format=use.form if use is not None and reads_calls else None,
        tools=use.callable if use is not None else (),
        has_functions=bool(request.functions),
    )


def served_tier(asked: str | None) -> str:
    """The tier that the answer reports."""
    return _SERVED_TIERS.get(asked or "", "default")


def to_generation(
    request: ChatRequest,
    prompt_tokens: Sequence[int],
    context_tokens: int,
    requester: Requester,
    *,
    id: str,
    defaults: Sampling,
    most_tokens: int = 0,
    constraint: Constraint | None = None,
    thinks: ThoughtUse = NO_THOUGHT,
    prediction_tokens: Sequence[int] = (),
) -> GenerationRequest:
    """The generation. Raises `ContextLengthExceeded` if it doesn't fit the model."""
    num_choices = request.n or 1
    num_logprobs = (request.top_logprobs or 0) if request.logprobs else None
    return GenerationRequest(
        id=id,
        prompt_tokens=tuple(prompt_tokens),
        max_tokens=room_for_answer(len(prompt_tokens), asked_tokens(request), context_tokens, most_tokens),
        num_choices=num_choices,
        best_of=num_choices,
        sampling=to_sampling(request, defaults),
        stop=request.stop,
        num_logprobs=num_logprobs,
        constraint=thinks.constraint(constraint),
        ignore_eos=bool(request.ignore_eos),
        prediction_tokens=tuple(prediction_tokens),
        priority=_PRIORITIES[served_tier(request.service_tier)],
        owner=requester.owner,
        cache_salt=requester.cache_salt,
        is_collected=not request.stream,
        thought=thinks.thought,
    )


def room_for_answer(prompt_tokens: int, asked: int | None, context_tokens: int, most_tokens: int = 0) -> int:
    """How many tokens the answer may have: what was asked, else the rest of the context, or what the server
    lets any answer have."""
    limit = f"This model's maximum context length is {context_tokens} tokens. However, "
    if prompt_tokens >= context_tokens:
        raise _too_long(
            f"{limit}your messages resulted in {prompt_tokens} tokens. "
            "Please reduce the length of the messages."
        )
    if asked is None:
        return min(context_tokens - prompt_tokens, most_tokens or context_tokens)
    if prompt_tokens + asked > context_tokens:
        raise _too_long(
            f"{limit}you requested {prompt_tokens + asked} tokens ({prompt_tokens} in the messages, {asked} "
            "in the completion). Please reduce the length of the messages or completion."
        )
    return asked


def refuse_with_tools(
    prompt_tokens: int, message_tokens: int, asked: int | None, context_tokens: int
) -> NoReturn:
    """The same where tools take a part: `message_tokens` of the prompt are the messages'."""
    tool_tokens = prompt_tokens - message_tokens
    limit = f"This model's maximum context length is {context_tokens} tokens. However, "
    if asked is None or prompt_tokens >= context_tokens:
        raise _too_long(
            f"{limit}your messages resulted in {prompt_tokens} tokens ({message_tokens} in the messages, "
            f"{tool_tokens} in the functions). Please reduce the length of the messages or functions."
        )
    raise _too_long(
        f"{limit}you requested {prompt_tokens + asked} tokens ({message_tokens} in the messages, "
        f"{tool_tokens} in the functions, and {asked} in the completion). "
        "Please reduce the length of the messages, functions, or completion."
    )


def asked_tokens(request: ChatRequest) -> int | None:
    """How long the answer may be, by either of the two names; None: as the context allows."""
    return request.max_completion_tokens if request.max_tokens is None else request.max_tokens


def _too_long(message: str) -> ContextLengthExceeded:
    return ContextLengthExceeded(message, param="messages", code="context_length_exceeded")

"""Token budgets of prompts and answers: what doesn't fit is rejected, huge texts unread. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from myna.core.conversation import Message, ToolSpec
from myna.core.errors import ContextLengthExceeded, ContextOverflow, InvalidRequest
from myna.core.renderer import Renderer
from myna.prompts.template_variables import texts_of

MAX_COUNTED_CHARS: Final = 1 << 18
"""Longer texts that can't fit the context are rejected without tokenizing them, so an error has a lower bound
instead of their number of tokens. Tokenizing a text of this length usually takes half a second."""
MAX_LOGPROBS: Final = 2**22
"""Per request: each takes about 100 bytes of memory until it is sent."""


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """The token limit of each answer to a request; 0: none. A request for more is an error if `is_strict`;
    otherwise the answer ends at the limit, and also where the context ends."""

    max_tokens: int = 0
    is_strict: bool = False

    def check(self, name: str, requested: int | None) -> None:
        """Raise if strict and the parameter of that name requests too many tokens."""
        if self.is_strict and requested is not None and 0 < self.max_tokens < requested:
            raise InvalidRequest(
                f"{name} is too large: {requested}. This model supports at most {self.max_tokens} completion "
                f"tokens, whereas you provided {requested}.",
                param=name,
                code="invalid_value",
            )

    def within(self, num_answers: int, num_logprobs: int | None) -> "AnswerLimits":
        """These limits, or less if `MAX_LOGPROBS` is reached earlier. `num_logprobs` as in
        `GenerationRequest`."""
        if num_logprobs is None:
            return self
        most = max(1, MAX_LOGPROBS // (max(1, num_answers) * (1 + num_logprobs)))
        return replace(self, max_tokens=min(self.max_tokens or most, most))


NO_LIMITS: Final = AnswerLimits()


def encode_conversation(
    conversation: Sequence[Message],
    tools: Sequence[ToolSpec],
    renderer: Renderer,
    context_tokens: int,
    *,
    requested: int | None,
    switches: Mapping[str, object],
    param: str,
    prefill: str = "",
) -> list[int]:
    """The tokens of the conversation with its tools and the beginning of its answer. Slow: call it in a
    thread.

    Huge conversations and variables are rejected before they are rendered; for one that doesn't fit together
    with `requested` completion tokens, the error says how many tokens the tools take. `param` is the
    request's parameter that has the conversation.
    """
    texts = [*(message.text for message in conversation), *(tool.parameters for tool in tools), prefill]
    for together in (texts, list(texts_of(switches))):
        if sum(map(len, together)) > MAX_COUNTED_CHARS:
            _check_fewest(sum(map(renderer.least_tokens, together)), context_tokens, param)
    tokens = renderer.encode_chat(conversation, tools=tools, switches=switches, prefill=prefill)
    if tools and len(tokens) + (requested or 1) > context_tokens:
        without = len(renderer.encode_chat(conversation, switches=switches, prefill=prefill))
        _raise_too_long_with_tools(len(tokens), without, requested, context_tokens, param)
    return tokens


def encode_prediction(text: str, renderer: Renderer, context_tokens: int) -> list[int]:
    """The tokens of the predicted answer; call it in a thread. Empty if the prediction can't fit the
    context."""
    if renderer.least_tokens(text) > context_tokens:
        return []
    return renderer.encode(text, parse_special=False)[:context_tokens]


def check_logprob_count(num_tokens: int, num_logprobs: int, param: str) -> None:
    """Raise if echoed prompts have too many log-probabilities; `num_tokens` counts each echo."""
    total = num_tokens * (1 + num_logprobs)
    if total > MAX_LOGPROBS:
        raise InvalidRequest(
            f"The echoed prompts have {total} log-probabilities, but an answer has at most {MAX_LOGPROBS}. "
            f"Send fewer prompts at once, or reduce '{param}' or 'n'.",
            param=param,
            code="invalid_value",
        )


def check_min_tokens(min_tokens: int, max_tokens: int) -> None:
    """Raise if an answer must have more tokens than it may have."""
    if min_tokens > max_tokens:
        raise InvalidRequest(
            f"min_tokens is too large: {min_tokens}. The completion has at most {max_tokens} tokens.",
            param="min_tokens",
            code="invalid_value",
        )


def remaining_tokens(
    prompt_tokens: int,
    requested: int | None,
    context_tokens: int,
    limits: AnswerLimits = NO_LIMITS,
    *,
    param: str,
) -> int:
    """The token limit of an answer to a conversation: what was requested, at most the rest of the context and
    the server's limit. Raises `ContextLengthExceeded` for a prompt that leaves no room, and if strict for a
    request that doesn't fit."""
    limit = f"This model's maximum context length is {context_tokens} tokens. However, "
    if prompt_tokens >= context_tokens:
        raise _too_long(
            f"{limit}your messages resulted in {prompt_tokens} tokens. "
            "Please reduce the length of the messages.",
            param,
            ContextOverflow(prompt_tokens, 0, context_tokens),
        )
    if limits.is_strict and requested is not None and prompt_tokens + requested > context_tokens:
        raise _too_long(
            f"{limit}you requested {prompt_tokens + requested} tokens ({prompt_tokens} in the messages, "
            f"{requested} in the completion). Please reduce the length of the messages or completion.",
            param,
            ContextOverflow(prompt_tokens, requested, context_tokens),
        )
    room = min(context_tokens - prompt_tokens, limits.max_tokens or context_tokens)
    return room if requested is None else min(room, requested)


def _check_fewest(fewest_tokens: int, context_tokens: int, param: str) -> None:
    """Raise if a conversation of at least that many tokens can't fit the context."""
    if fewest_tokens >= context_tokens:
        raise _too_long(
            f"This model's maximum context length is {context_tokens} tokens. However, your messages "
            f"resulted in at least {fewest_tokens} tokens. Please reduce the length of the messages.",
            param,
            ContextOverflow(fewest_tokens, 0, context_tokens),
        )


def completion_tokens(
    prompt_tokens: int,
    max_tokens: int,
    context_tokens: int,
    limits: AnswerLimits = NO_LIMITS,
    *,
    is_lower_bound: bool = False,
) -> int:
    """The token limit of the completion of a raw prompt: `max_tokens`, or what the context and the server's
    limit leave. Raises as `remaining_tokens` does. `is_lower_bound`: the prompt has at least that many
    tokens."""
    room = context_tokens - prompt_tokens
    if room > 0 and not limits.is_strict:
        max_tokens = min(max_tokens, limits.max_tokens or max_tokens, room)
    total = prompt_tokens + max_tokens
    if total > context_tokens:
        bound = "at least " if is_lower_bound else ""
        raise ContextLengthExceeded(
            f"This model's maximum context length is {context_tokens} tokens, however you requested "
            f"{bound}{total} tokens ({bound}{prompt_tokens} in your prompt; {max_tokens} for the "
            "completion). Please reduce your prompt; or completion length."
        )
    return max_tokens


def _raise_too_long_with_tools(
    prompt_tokens: int, message_tokens: int, requested: int | None, context_tokens: int, param: str
) -> NoReturn:
    """`message_tokens` of the prompt's tokens belong to the messages, the others to the tools."""
    tool_tokens = prompt_tokens - message_tokens
    limit = f"This model's maximum context length is {context_tokens} tokens. However, "
    if requested is None or prompt_tokens >= context_tokens:
        raise _too_long(
            f"{limit}your messages resulted in {prompt_tokens} tokens ({message_tokens} in the messages, "
            f"{tool_tokens} in the functions). Please reduce the length of the messages or functions.",
            param,
            ContextOverflow(prompt_tokens, 0, context_tokens),
        )
    raise _too_long(
        f"{limit}you requested {prompt_tokens + requested} tokens ({message_tokens} in the messages, "
        f"{tool_tokens} in the functions, and {requested} in the completion). "
        "Please reduce the length of the messages, functions, or completion.",
        param,
        ContextOverflow(prompt_tokens, requested, context_tokens),
    )


def _too_long(message: str, param: str, overflow: ContextOverflow) -> ContextLengthExceeded:
    return ContextLengthExceeded(message, param=param, code="context_length_exceeded", overflow=overflow)

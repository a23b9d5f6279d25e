"""Token budgets of prompts and answers: what doesn't fit is rejected, huge texts unread. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from myna.core.conversation import Message, ToolSpec
from myna.core.errors import ContextLengthExceeded, InvalidRequest
from myna.core.renderer import Renderer

MAX_COUNTED_CHARS: Final = 1 << 18
"""Longer texts that can't fit the context are rejected without tokenizing them, so an error has a lower bound
instead of their number of tokens. Tokenizing a text of this length usually takes half a second."""
MAX_LOGPROBS: Final = 2**22
"""Per request: each takes about 100 bytes of memory until it is sent."""


def encode_conversation(
    conversation: Sequence[Message],
    tools: Sequence[ToolSpec],
    renderer: Renderer,
    context_tokens: int,
    *,
    requested: int | None,
    switches: Mapping[str, object],
    param: str,
) -> list[int]:
    """The tokens of the conversation with its tools. Slow: call it in a thread.

    Huge conversations are rejected before they are rendered; for one that doesn't fit together with
    `requested` completion tokens, the error says how many tokens the tools take. `param` is the request's
    parameter that has the conversation.
    """
    texts = [*(message.text for message in conversation), *(tool.parameters for tool in tools)]
    if sum(map(len, texts)) > MAX_COUNTED_CHARS:
        _check_fewest(sum(map(renderer.least_tokens, texts)), context_tokens, param)
    tokens = renderer.encode_chat(conversation, tools=tools, switches=switches)
    if tools and len(tokens) + (requested or 1) > context_tokens:
        without = len(renderer.encode_chat(conversation, switches=switches))
        _raise_too_long_with_tools(len(tokens), without, requested, context_tokens, param)
    return tokens


def encode_prediction(text: str, renderer: Renderer, context_tokens: int) -> list[int]:
    """The tokens of the predicted answer; call it in a thread. Empty if the prediction can't fit the
    context."""
    if renderer.least_tokens(text) > context_tokens:
        return []
    return renderer.encode(text, parse_special=False)[:context_tokens]


def answer_token_limit(max_answer_tokens: int, num_answers: int, num_logprobs: int | None) -> int:
    """The token limit of each answer: the server's limit (0: none), or less if `MAX_LOGPROBS` is reached
    earlier. `num_logprobs` as in `GenerationRequest`."""
    if num_logprobs is None:
        return max_answer_tokens
    most = max(1, MAX_LOGPROBS // (max(1, num_answers) * (1 + num_logprobs)))
    return min(max_answer_tokens or most, most)


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


def check_answer_tokens(name: str, requested: int | None, max_answer_tokens: int) -> None:
    """Raise if more tokens were requested than the server allows for an answer (0: no limit)."""
    if requested is not None and 0 < max_answer_tokens < requested:
        raise InvalidRequest(
            f"{name} is too large: {requested}. This model supports at most {max_answer_tokens} completion "
            f"tokens, whereas you provided {requested}.",
            param=name,
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
    prompt_tokens: int, requested: int | None, context_tokens: int, max_answer_tokens: int = 0, *, param: str
) -> int:
    """The token limit of an answer to a conversation: what was requested, else the rest of the context or the
    server's limit. Raises `ContextLengthExceeded`."""
    limit = f"This model's maximum context length is {context_tokens} tokens. However, "
    if prompt_tokens >= context_tokens:
        raise _too_long(
            f"{limit}your messages resulted in {prompt_tokens} tokens. "
            "Please reduce the length of the messages.",
            param,
        )
    if requested is None:
        return min(context_tokens - prompt_tokens, max_answer_tokens or context_tokens)
    if prompt_tokens + requested > context_tokens:
        raise _too_long(
            f"{limit}you requested {prompt_tokens + requested} tokens ({prompt_tokens} in the messages, "
            f"{requested} in the completion). Please reduce the length of the messages or completion.",
            param,
        )
    return requested


def _check_fewest(fewest_tokens: int, context_tokens: int, param: str) -> None:
    """Raise if a conversation of at least that many tokens can't fit the context."""
    if fewest_tokens >= context_tokens:
        raise _too_long(
            f"This model's maximum context length is {context_tokens} tokens. However, your messages "
            f"resulted in at least {fewest_tokens} tokens. Please reduce the length of the messages.",
            param,
        )


def check_context_length(
    prompt_tokens: int, max_tokens: int, context_tokens: int, *, is_lower_bound: bool = False
) -> None:
    """Raise if a raw prompt and its completion together don't fit the context. `is_lower_bound`: the prompt
    has at least that many tokens."""
    total = prompt_tokens + max_tokens
    if total > context_tokens:
        bound = "at least " if is_lower_bound else ""
        raise ContextLengthExceeded(
            f"This model's maximum context length is {context_tokens} tokens, however you requested "
            f"{bound}{total} tokens ({bound}{prompt_tokens} in your prompt; {max_tokens} for the "
            "completion). Please reduce your prompt; or completion length."
        )


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
        )
    raise _too_long(
        f"{limit}you requested {prompt_tokens + requested} tokens ({message_tokens} in the messages, "
        f"{tool_tokens} in the functions, and {requested} in the completion). "
        "Please reduce the length of the messages, functions, or completion.",
        param,
    )


def _too_long(message: str, param: str) -> ContextLengthExceeded:
    return ContextLengthExceeded(message, param=param, code="context_length_exceeded")

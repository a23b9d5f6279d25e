"""How many tokens prompt and answer may have: what doesn't fit is refused, far too much unread. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from myna.core.conversation import Message, ToolSpec
from myna.core.errors import ContextLengthExceeded, InvalidRequest
from myna.core.renderer import Renderer

MAX_LOGPROBS: Final = 2**22
"""Of one request: they take about 100 bytes of memory each until they are sent."""


def encode_conversation(
    conversation: Sequence[Message],
    tools: Sequence[ToolSpec],
    renderer: Renderer,
    context_tokens: int,
    *,
    asked: int | None,
    switches: Mapping[str, object],
    param: str,
) -> list[int]:
    """The tokens of the conversation with its tools. Takes a while: call it in a thread.

    Far too much is refused before it is rendered; what doesn't fit with an answer of `asked` tokens is
    refused with the tokens that the tools take. `param` is where the request has the conversation.
    """
    fewest = sum(renderer.least_tokens(message.text) for message in conversation)
    fewest += sum(renderer.least_tokens(tool.parameters) for tool in tools)
    room_for_answer(fewest, None, context_tokens, param=param)
    tokens = renderer.encode_chat(conversation, tools=tools, switches=switches)
    if tools and len(tokens) + (asked or 1) > context_tokens:
        without = len(renderer.encode_chat(conversation, switches=switches))
        _refuse_with_tools(len(tokens), without, asked, context_tokens, param)
    return tokens


def encode_prediction(text: str, renderer: Renderer, context_tokens: int) -> list[int]:
    """The tokens of the text that the answer will probably be, in a thread too; none of a text that can't
    fit an answer."""
    if renderer.least_tokens(text) > context_tokens:
        return []
    return renderer.encode(text, parse_special=False)[:context_tokens]


def longest_answer(most_tokens: int, num_answers: int, num_logprobs: int | None) -> int:
    """How many tokens each of the answers may have: what the server lets any have (0: no such limit), or less
    where `MAX_LOGPROBS` come earlier. `num_logprobs` as in `GenerationRequest`."""
    if num_logprobs is None:
        return most_tokens
    most = max(1, MAX_LOGPROBS // (max(1, num_answers) * (1 + num_logprobs)))
    return min(most_tokens or most, most)


def refuse_many_logprobs(num_tokens: int, num_logprobs: int, param: str) -> None:
    """Raise if prompts with so many tokens, each counted as often as it is echoed, have too many."""
    total = num_tokens * (1 + num_logprobs)
    if total > MAX_LOGPROBS:
        raise InvalidRequest(
            f"The echoed prompts have {total} log-probabilities, but an answer has at most {MAX_LOGPROBS}. "
            f"Send fewer prompts at once, or reduce '{param}' or 'n'.",
            param=param,
            code="invalid_value",
        )


def refuse_long_answers(name: str, asked: int | None, most_tokens: int) -> None:
    """Raise if more tokens were asked for than the server lets any answer have (0: no such limit)."""
    if asked is not None and 0 < most_tokens < asked:
        raise InvalidRequest(
            f"{name} is too large: {asked}. This model supports at most {most_tokens} completion tokens, "
            f"whereas you provided {asked}.",
            param=name,
            code="invalid_value",
        )


def room_for_answer(
    prompt_tokens: int, asked: int | None, context_tokens: int, most_tokens: int = 0, *, param: str
) -> int:
    """How many tokens the answer to a conversation may have: what was asked for, else the rest of the
    context, or what the server lets any answer have. Raises `ContextLengthExceeded`."""
    limit = f"This model's maximum context length is {context_tokens} tokens. However, "
    if prompt_tokens >= context_tokens:
        raise _too_long(
            f"{limit}your messages resulted in {prompt_tokens} tokens. "
            "Please reduce the length of the messages.",
            param,
        )
    if asked is None:
        return min(context_tokens - prompt_tokens, most_tokens or context_tokens)
    if prompt_tokens + asked > context_tokens:
        raise _too_long(
            f"{limit}you requested {prompt_tokens + asked} tokens ({prompt_tokens} in the messages, {asked} "
            "in the completion). Please reduce the length of the messages or completion.",
            param,
        )
    return asked


def refuse_too_long(prompt_tokens: int, max_tokens: int, context_tokens: int) -> None:
    """Raise if a raw prompt and its answer together don't fit the context."""
    total = prompt_tokens + max_tokens
    if total > context_tokens:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {context_tokens} tokens, however you requested "
            f"{total} tokens ({prompt_tokens} in your prompt; {max_tokens} for the completion). "
            "Please reduce your prompt; or completion length."
        )


def _refuse_with_tools(
    prompt_tokens: int, message_tokens: int, asked: int | None, context_tokens: int, param: str
) -> NoReturn:
    """`message_tokens` of the prompt's tokens are the messages', the others the tools'."""
    tool_tokens = prompt_tokens - message_tokens
    limit = f"This model's maximum context length is {context_tokens} tokens. However, "
    if asked is None or prompt_tokens >= context_tokens:
        raise _too_long(
            f"{limit}your messages resulted in {prompt_tokens} tokens ({message_tokens} in the messages, "
            f"{tool_tokens} in the functions). Please reduce the length of the messages or functions.",
            param,
        )
    raise _too_long(
        f"{limit}you requested {prompt_tokens + asked} tokens ({message_tokens} in the messages, "
        f"{tool_tokens} in the functions, and {asked} in the completion). "
        "Please reduce the length of the messages, functions, or completion.",
        param,
    )


def _too_long(message: str, param: str) -> ContextLengthExceeded:
    return ContextLengthExceeded(message, param=param, code="context_length_exceeded")

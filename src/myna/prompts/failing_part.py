"""Finds the part of a conversation that a chat template can't take, by rendering it without parts."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from myna.core.conversation import Message, ToolSpec

Failure = Callable[[Sequence[Message], Sequence[ToolSpec]], str]
"""Renders a conversation; returns how the template fails, "" if it doesn't."""

WHOLE: Final = "messages"
_PLAIN: Final = (Message.of("user", "x"),)


def find_part(failure: Failure, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
    """The path of the part in a request, such as `messages[2].tool_calls`: without it, or up to it, the
    template doesn't fail in the same way. Renders as often as a binary search looks."""
    reason = failure(messages, tools)

    def fails(some: Sequence[Message], declared: Sequence[ToolSpec] = tools) -> bool:
        return failure(some, declared) == reason

    if not reason:
        return WHOLE
    if tools and fails(_PLAIN):
        alone = [i for i, tool in enumerate(tools) if fails(_PLAIN, (tool,))]
        return f"tools[{alone[0]}]" if alone else "tools"
    passing, failing = 0, len(messages)
    while failing - passing > 1:
        middle = (passing + failing) // 2
        if fails(messages[:middle]):
            failing = middle
        else:
            passing = middle
    return f"messages[{passing}]" + _field(fails, messages[:failing])


def _field(fails: Callable[[Sequence[Message]], bool], messages: Sequence[Message]) -> str:
    """The field of the last message without which the template doesn't fail; "" if there is none."""
    *before, last = messages
    fewer = {
        ".tool_calls": replace(last, tool_calls=()),
        ".reasoning_content": replace(last, reasoning=None),
        ".name": replace(last, name=None),
    }
    return next((field for field, one in fewer.items() if one != last and not fails([*before, one])), "")

"""From a conversation to tokens. Takes a while: runs in a thread."""

from collections.abc import Mapping, Sequence

from myna.api.chat.convert import refuse_with_tools, room_for_answer, to_messages
from myna.api.chat.messages import Message
from myna.api.chat.thought_use import NO_THOUGHT
from myna.core.conversation import ToolSpec
from myna.core.renderer import Renderer


def encode(
    messages: Sequence[Message],
    tools: Sequence[ToolSpec],
    renderer: Renderer,
    context_tokens: int,
    asked: int | None = None,
    switches: Mapping[str, object] = NO_THOUGHT.switches,
) -> list[int]:
    """The tokens of the conversation with its tools. Far too much is refused unread; what doesn't fit
    with the answer of `asked` tokens is refused with what the tools take of it."""
    fewest = sum(renderer.least_tokens(message.text()) for message in messages)
    fewest += sum(renderer.least_tokens(tool.parameters) for tool in tools)
    room_for_answer(fewest, None, context_tokens)
    conversation = to_messages(messages)
    tokens = renderer.encode_chat(conversation, tools=tools, switches=switches)
    if tools and len(tokens) + (asked or 1) > context_tokens:
        without = len(renderer.encode_chat(conversation, switches=switches))
        refuse_with_tools(len(tokens), without, asked, context_tokens)
    return tokens


def encode_prediction(text: str, renderer: Renderer, context_tokens: int) -> list[int]:
    """The tokens of the text that the answer will probably be; what can't fit an answer is no help."""
    if renderer.least_tokens(text) > context_tokens:
        return []
    return renderer.encode(text, parse_special=False)[:context_tokens]

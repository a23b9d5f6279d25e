"""Converts items to the messages of a conversation. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from myna.api.responses.tools import shown_name
from myna.core.conversation import Message, ToolCall
from myna.prompts.custom_input import as_arguments
from myna.wire.response_items import (
    Compaction,
    CustomToolCall,
    FunctionCall,
    Item,
    MessageItem,
    Reasoning,
    ToolOutput,
)
from myna.wire.response_parts import text_of

SUMMARY_TEXT: Final = "Summary of the conversation so far, without my messages above:\n\n{summary}"

ReadBlob = Callable[[str], str | None]
"""The text of an opaque token; None for one that isn't this server's."""


@dataclass(slots=True)
class _OwnTurn:
    """A turn of the assistant that is being put together."""

    thoughts: list[str] = field(default_factory=list)
    text: str | None = None
    calls: list[ToolCall] = field(default_factory=list)

    def turns(self) -> list[Message]:
        """None for a thought that led to nothing, which templates can't show."""
        if self.text is None and not self.calls:
            return []
        thought = "\n".join(self.thoughts) or None
        return [Message.of("assistant", self.text, tool_calls=tuple(self.calls), reasoning=thought)]


def to_messages(instructions: str | None, items: Sequence[Item], read_blob: ReadBlob) -> list[Message]:
    """The conversation. Reasoning, a message and calls that follow one another are one turn of the
    assistant."""
    turns = [Message.of("system", instructions)] if instructions else []
    own: _OwnTurn | None = None
    for item in items:
        if _begins_turn(own, item):
            turns += own.turns() if own is not None else []
            own = None
        match item:
            case MessageItem(role="assistant"):
                own = own or _OwnTurn()
                own.text = item.text()
            case MessageItem():
                turns.append(Message.of(item.role, item.text()))
            case Reasoning():
                own = own or _OwnTurn()
                own.thoughts += filter(None, [_thought(item, read_blob)])
            case FunctionCall() | CustomToolCall():
                own = own or _OwnTurn()
                own.calls.append(_call(item))
            case ToolOutput():
                turns.append(Message.of("tool", item.text(), tool_call_id=item.call_id))
            case Compaction():
                summary = read_blob(item.encrypted_content) or ""
                turns.append(Message.of("user", SUMMARY_TEXT.format(summary=summary)))
    return turns + (own.turns() if own is not None else [])


def _begins_turn(own: _OwnTurn | None, item: Item) -> bool:
    """Whether the item isn't part of the turn so far."""
    match item:
        case MessageItem(role="assistant"):
            return own is not None and own.text is not None
        case Reasoning():
            return own is not None and (own.text is not None or bool(own.calls))
        case FunctionCall() | CustomToolCall():
            return False
        case _:
            return True


def _call(item: FunctionCall | CustomToolCall) -> ToolCall:
    arguments = item.arguments if isinstance(item, FunctionCall) else as_arguments(item.input)
    return ToolCall(item.call_id, shown_name(item.namespace, item.name), arguments)


def _thought(item: Reasoning, read_blob: ReadBlob) -> str:
    """The thought's text: what the server itself wrote, else what the client shows of it."""
    own = None if item.encrypted_content is None else read_blob(item.encrypted_content)
    return own or text_of(item.content or ()) or text_of(item.summary or ())

"""Conversations, before a renderer turns them into tokens: plain, frozen values."""

from typing import Literal

import msgspec


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """A piece of text."""

    text: str


# The kinds of content of a message. A new kind is a new struct in this union.
Part = TextPart


class ToolCall(msgspec.Struct, frozen=True):
    """An earlier tool call of the assistant; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


class Message(msgspec.Struct, frozen=True):
    """One turn. `content` is empty for a turn that only has tool calls."""

    role: str
    content: tuple[Part, ...] = ()
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None

    @classmethod
    def of(
        cls,
        role: str,
        text: str | None,
        name: str | None = None,
        tool_calls: tuple[ToolCall, ...] = (),
        tool_call_id: str | None = None,
        reasoning: str | None = None,
    ) -> "Message":
        """A turn whose content is a single text or empty."""
        content = () if text is None else (TextPart(text),)
        return cls(role, content, name, tool_calls, tool_call_id, reasoning)

    @property
    def text(self) -> str:
        """The text parts, joined by line breaks."""
        return "\n".join(part.text for part in self.content)


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool that the model may call. `parameters` is a JSON schema as text; "" for no parameters.

    A custom tool has a single parameter, `input`: any text (`kind` text), or text that follows `grammar`.
    """

    name: str
    description: str = ""
    parameters: str = ""
    strict: bool = False
    kind: Literal["function", "text", "grammar"] = "function"
    grammar: str = ""

"""What a conversation is made of before a template turns it into text: plain, frozen values."""

from typing import Literal

import msgspec

Content = str | tuple[str, ...]


class ToolCall(msgspec.Struct, frozen=True):
    """A call that the assistant made earlier; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


class Message(msgspec.Struct, frozen=True):
    """One turn. `content` parts are joined by a line break; None is none (a turn of tool calls alone)."""

    role: str
    content: Content | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None

    @property
    def text(self) -> str:
        if self.content is None:
            return ""
        return self.content if isinstance(self.content, str) else "\n".join(self.content)


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool the model may call. `parameters` is its JSON schema as text; "" for no parameters.

    A custom tool has one parameter, `input`: any text (`kind` text), or text that follows `grammar`.
    """

    name: str
    description: str = ""
    parameters: str = ""
    strict: bool = False
    kind: Literal["function", "text", "grammar"] = "function"
    grammar: str = ""

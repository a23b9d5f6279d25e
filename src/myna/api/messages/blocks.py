"""The content blocks of a request's messages. Knows no model."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from myna.wire.validation import TAG, Items, WireModel

_STRING, _LIST = f"{TAG}string", f"{TAG}list"
CallId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$", max_length=256)]
ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]


class _Block(WireModel):
    """Any block may be marked for the cache."""

    cache_control: object = None


class TextBlock(_Block):
    """Text."""

    type: Literal["text"]
    text: str
    citations: object = None


class ImageBlock(_Block):
    """An image, which `check` rejects."""

    type: Literal["image"]
    source: object = None


class DocumentBlock(_Block):
    """A document; `check` rejects those that aren't plain text."""

    type: Literal["document"]
    source: dict[str, Any]
    title: str | None = None
    context: str | None = None
    citations: object = None


class ToolUseBlock(_Block):
    """A call that the assistant made."""

    type: Literal["tool_use"]
    id: CallId
    name: ToolName
    input: dict[str, Any]
    caller: object = None
    toolset_name: object = None


class ThinkingBlock(_Block):
    """What the assistant thought, with its signature."""

    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(_Block):
    """A thought that only Anthropic can read; it is left out."""

    type: Literal["redacted_thinking"]
    data: str = ""


def _by_kind(value: Any) -> str:
    """Whether a content is text or blocks; anything else is reported as if it were blocks."""
    return _STRING if isinstance(value, str) else _LIST


_ResultPart = Annotated[TextBlock | ImageBlock | DocumentBlock, Field(discriminator="type")]


class ToolResultBlock(_Block):
    """The result of a call."""

    type: Literal["tool_result"]
    tool_use_id: CallId
    content: (
        Annotated[
            Annotated[str, Tag(_STRING)] | Annotated[Items[_ResultPart], Tag(_LIST)],
            Discriminator(_by_kind),
        ]
        | None
    ) = None
    is_error: bool | None = None
    toolset_name: object = None


Block = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | ToolUseBlock
    | ToolResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
)
Content = Annotated[
    Annotated[str, Tag(_STRING)]
    | Annotated[Items[Annotated[Block, Field(discriminator="type")]], Tag(_LIST)],
    Discriminator(_by_kind),
]
Texts = Annotated[
    Annotated[str, Tag(_STRING)] | Annotated[Items[TextBlock], Tag(_LIST)], Discriminator(_by_kind)
]


class MessageParam(WireModel):
    """One message."""

    role: Literal["user", "assistant", "system"]
    content: Content


_PLAIN_TEXT: Final = "text"


def document_text(block: DocumentBlock) -> str | None:
    """The document's text, after its title and context; None if it isn't plain text."""
    source: Mapping[str, Any] = block.source
    data = source.get("data")
    if source.get("type") != _PLAIN_TEXT or not isinstance(data, str):
        return None
    return "\n".join(part for part in (block.title, block.context, data) if part)

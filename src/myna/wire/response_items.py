"""Items of the Responses API: what a request's input, a response's output and a conversation consist of.

Validates clients' items with OpenAI's error texts, and renders them as stored: complete, with an id. Knows no
model.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter, model_validator

from myna.wire import fields, validation_errors
from myna.wire.response_parts import (
    ASSISTANT_PARTS,
    INPUT_PARTS,
    MAX_PARTS,
    Content,
    Part,
    check_parts,
    text_of,
    text_part,
)
from myna.wire.validation import TAG, Items, WireModel

ROLES: Final = ("assistant", "system", "developer", "user")
ITEM_TYPES: Final = (
    "additional_tools", "agent_message", "apply_patch_call", "apply_patch_call_output",
    "code_interpreter_call", "compaction", "compaction_trigger", "computer_call", "computer_call_output",
    "custom_tool_call", "custom_tool_call_output", "file_search_call", "function_call",
    "function_call_output", "image_generation_call", "item_reference", "local_shell_call",
    "local_shell_call_output", "mcp_approval_request", "mcp_approval_response", "mcp_call",
    "mcp_list_tools", "message", "multi_agent_call", "multi_agent_call_output", "program",
    "program_output", "reasoning", "shell_call", "shell_call_output", "tool_search_call",
    "tool_search_output", "web_search_call",
)  # fmt: skip
MAX_ITEMS: Final = 4096
MAX_ID: Final = 64
MAX_NAME: Final = 128
MAX_BLOB: Final = 20_971_520
_NAME_PATTERN: Final = "^[a-zA-Z0-9_-]+$"
_INPUT_NOUN: Final = "one of a string or array of input items"

ItemId = Annotated[str | None, fields.text(longest=MAX_ID, pattern="^[a-zA-Z0-9_-]+$")]
CallId = Annotated[str, fields.text(longest=MAX_ID, may_be_empty=False)]
ToolName = Annotated[str, fields.text(longest=MAX_NAME, pattern=_NAME_PATTERN, may_be_empty=False)]
NewId = Callable[[str], str]
"""A new id that begins with the given prefix."""


class BaseItem(WireModel):
    """What all items may have."""

    id: ItemId = None
    status: Annotated[str | None, fields.one_of("in_progress", "completed", "incomplete")] = None
    created_by: object = None


class MessageItem(BaseItem):
    """A message of one of four roles; `content` is a text or a list of parts."""

    type: str | None = None
    role: str
    content: Content
    phase: fields.Label = None

    @model_validator(mode="before")
    @classmethod
    def _check_role(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("role") not in ROLES:
            role = value.get("role")
            raise validation_errors.not_one_of(ROLES, role if isinstance(role, str) else "").in_validator()
        return value

    @model_validator(mode="after")
    def _check_parts_of_role(self) -> Self:
        is_own = self.role == "assistant"
        if self.phase is not None and not is_own:
            raise validation_errors.unknown().in_validator("phase")
        check_parts(self.content, ASSISTANT_PARTS if is_own else INPUT_PARTS, "content")
        return self

    def text(self) -> str:
        return text_of(self.content)

    def stored(self, id: str) -> dict[str, object]:
        if isinstance(self.content, str):
            kind = "output_text" if self.role == "assistant" else "input_text"
            content = [text_part(kind, self.content)]
        else:
            content = [part.stored() for part in self.content]
        phase = {} if self.phase is None else {"phase": self.phase}
        return {
            "id": id,
            "type": "message",
            "status": self.status or "completed",
            "content": content,
            **phase,
            "role": self.role,
        }


class BaseCall(BaseItem):
    """A call of a tool. `namespace` is that of a tool declared in one."""

    type: str
    call_id: CallId
    name: ToolName
    namespace: fields.Label = None
    caller: object = None
    # What the SDK's `model_dump` adds to a call, with and without `by_alias`.
    is_async: Annotated[object, Field(alias="async")] = None
    async_: object = None


class FunctionCall(BaseCall):
    """A call of a function."""

    arguments: Annotated[str, fields.text()]
    parsed_arguments: object = None  # of the SDKs, which send a parsed response back unchanged

    def stored(self, id: str) -> dict[str, object]:
        return {
            "id": id,
            "type": self.type,
            "status": self.status or "completed",
            "arguments": self.arguments,
            "call_id": self.call_id,
            "name": self.name,
            **_namespace(self.namespace),
        }


class CustomToolCall(BaseCall):
    """A call of a custom tool, whose input is text."""

    input: Annotated[str, fields.text()]

    def stored(self, id: str) -> dict[str, object]:
        return {
            "id": id,
            "type": self.type,
            "status": self.status or "completed",
            "call_id": self.call_id,
            "input": self.input,
            "name": self.name,
            **_namespace(self.namespace),
        }


class ToolOutput(BaseItem):
    """What a function or a custom tool returned."""

    type: str
    call_id: CallId
    output: Content
    name: object = None
    namespace: object = None
    caller: object = None

    @model_validator(mode="after")
    def _check_output(self) -> Self:
        check_parts(self.output, INPUT_PARTS, "output")
        return self

    def text(self) -> str:
        return text_of(self.output)

    def stored(self, id: str) -> dict[str, object]:
        output = self.output if isinstance(self.output, str) else [part.stored() for part in self.output]
        return {
            "id": id,
            "type": self.type,
            "status": self.status or "completed",
            "call_id": self.call_id,
            "output": output,
        }


ThoughtParts = Annotated[
    Items[Part] | None,
    fields.array("an array of objects", longest=MAX_PARTS, may_be_null=True, may_be_empty=True),
]


class Reasoning(BaseItem):
    """What the model thought: as text in `content`, summarized, or in the opaque `encrypted_content`."""

    type: str
    summary: ThoughtParts = None
    content: ThoughtParts = None
    encrypted_content: Annotated[str | None, fields.text(longest=MAX_BLOB)] = None

    def stored(self, id: str) -> dict[str, object]:
        secret = {} if self.encrypted_content is None else {"encrypted_content": self.encrypted_content}
        return {
            "id": id,
            "type": self.type,
            "content": [part.stored() for part in self.content or ()],
            **secret,
            "summary": [part.stored() for part in self.summary or ()],
        }


class Compaction(BaseItem):
    """A summary of earlier items, in a form that only the server reads."""

    type: str
    encrypted_content: Annotated[str, fields.text(longest=MAX_BLOB)]

    def stored(self, id: str) -> dict[str, object]:
        return {"id": id, "type": self.type, "encrypted_content": self.encrypted_content}


class ItemReference(WireModel):
    """A stored item, by its id."""

    id: Annotated[str, fields.text(longest=MAX_ID, may_be_empty=False)]
    type: str | None = None


Item = MessageItem | FunctionCall | CustomToolCall | ToolOutput | Reasoning | Compaction
"""An item with its content."""

PREFIXES: Final = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
    "reasoning": "rs_",
    "compaction": "cmp_",
}
"""What the ids of items of each type begin with."""

_SUPPORTED: Final = frozenset((*PREFIXES, "item_reference"))
_KIND: Final = {"custom_tool_call_output": "function_call_output"}


def _type_of(value: dict[str, Any]) -> object:
    """The type of an item, which may be left out of messages and references."""
    kind = value.get("type")
    if kind is not None:
        return kind
    if "role" in value or "content" in value:
        return "message"
    return "item_reference" if "id" in value else ""


def _check_item(value: Any) -> Any:
    if not isinstance(value, dict):
        if isinstance(value, BaseItem | ItemReference):
            return value
        noun = {} if value is None else value  # null counts as an object
        raise validation_errors.invalid_type("an input item", noun).in_validator()
    kind = _type_of(value)
    if kind not in ITEM_TYPES:
        raise validation_errors.not_one_of(ITEM_TYPES, kind if isinstance(kind, str) else "").in_validator()
    if kind not in _SUPPORTED:
        raise validation_errors.unsupported_value(str(kind)).in_validator("type")
    return value


def _item_tag(value: Any) -> str:
    kind = _type_of(value) if isinstance(value, dict) else (getattr(value, "type", None) or "message")
    return f"{TAG}{_KIND.get(str(kind), kind)}"


ItemParam = Annotated[
    Annotated[MessageItem, Tag(f"{TAG}message")]
    | Annotated[FunctionCall, Tag(f"{TAG}function_call")]
    | Annotated[CustomToolCall, Tag(f"{TAG}custom_tool_call")]
    | Annotated[ToolOutput, Tag(f"{TAG}function_call_output")]
    | Annotated[Reasoning, Tag(f"{TAG}reasoning")]
    | Annotated[Compaction, Tag(f"{TAG}compaction")]
    | Annotated[ItemReference, Tag(f"{TAG}item_reference")],
    Discriminator(_item_tag),
    BeforeValidator(_check_item),
]

ItemList = Annotated[
    Items[ItemParam], fields.array("an array of input items", longest=MAX_ITEMS, may_be_empty=True)
]


def _input(value: Any) -> Any:
    """A text is one message of the user."""
    if isinstance(value, str):
        if len(value) > fields.MAX_TEXT:
            raise validation_errors.too_long("string", fields.MAX_TEXT, len(value)).in_validator()
        return [{"role": "user", "content": value}] if value else []
    if value is None:  # null counts as an object
        raise validation_errors.invalid_type("a string", {}).in_validator()
    if not isinstance(value, list):
        raise validation_errors.invalid_type(_INPUT_NOUN, value).in_validator()
    return value


Input = Annotated[ItemList, BeforeValidator(_input)]
"""The `input` of a request: a text, or items."""
OptionalInput = Annotated[
    ItemList | None, BeforeValidator(lambda value: None if value is None else _input(value))
]

_ONE: Final = TypeAdapter[Item | ItemReference](ItemParam)


def read_stored(json: bytes) -> Item:
    """An item as `stored_item` rendered it."""
    item = _ONE.validate_json(json)
    if isinstance(item, ItemReference):
        raise TypeError("references are not stored")
    return item


def stored_item(item: Item, new_id: NewId) -> dict[str, object]:
    """The item as it is stored and shown: complete, with its own id or a new one."""
    return item.stored(item.id or new_id(PREFIXES[item.type or "message"]))


def _namespace(name: str | None) -> dict[str, object]:
    return {} if name is None else {"namespace": name}

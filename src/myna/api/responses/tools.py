"""The tools of a request to the Responses API, and which of them the model may or must call."""

from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from myna.wire import fields, validation_errors
from myna.wire.fields import Flag, Text
from myna.wire.response_items import ToolName
from myna.wire.validation import TAG, Items, WireModel
from myna.wire.validation_errors import FieldError

MAX_TOOLS: Final = 512
MODES: Final = ("none", "auto", "required")
_OWN: Final = ("function", "custom", "namespace")
HOSTED: Final = (
    "web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11",
    "file_search", "code_interpreter", "computer", "computer_use_preview", "image_generation", "mcp",
    "shell", "local_shell", "apply_patch", "tool_search",
)  # fmt: skip
"""Tools that OpenAI runs itself."""
_CHOICES: Final = ("function", "custom", "allowed_tools")
_CHOICE_NOUN: Final = f"one of an object or {validation_errors.quoted_list(MODES, 'or')}"
_JOINT: Final = "__"


def shown_name(namespace: str | None, name: str) -> str:
    """The name of a tool as models see it."""
    return f"{namespace}{_JOINT}{name}" if namespace else name


class FunctionTool(WireModel):
    """A function. Without `strict`, its schema is enforced as far as it can be."""

    type: str
    name: ToolName
    description: Text = None
    parameters: dict[str, Any] | None = None
    strict: Flag = None
    output_schema: object = None
    defer_loading: object = None
    allowed_callers: object = None

    def schema_(self) -> dict[str, Any]:
        """The schema of its arguments; closed, unless it is declared as not strict."""
        schema = self.parameters or {"type": "object", "properties": {}}
        if self.strict is False or "additionalProperties" in schema:
            return schema
        return {**schema, "additionalProperties": False}

    def echoed(self) -> dict[str, object]:
        return {
            "type": self.type,
            "description": self.description,
            "name": self.name,
            "parameters": self.schema_(),
            "strict": self.strict is not False,
        }


class InputFormat(WireModel):
    """Any text, or text that follows a grammar."""

    type: Annotated[str, fields.one_of("text", "grammar")]
    syntax: Annotated[str | None, fields.one_of("lark", "regex")] = None
    definition: Annotated[str | None, fields.text(may_be_empty=False)] = None

    @model_validator(mode="after")
    def _has_its_grammar(self) -> Self:
        for name in ("syntax", "definition"):
            if self.type == "grammar" and getattr(self, name) is None:
                raise validation_errors.missing().in_validator(name)
            if self.type == "text" and getattr(self, name) is not None:
                raise validation_errors.unknown().in_validator(name)
        return self

    def echoed(self) -> dict[str, object]:
        if self.type == "text":
            return {"type": "text"}
        return {"type": "grammar", "definition": self.definition, "syntax": self.syntax}


class CustomTool(WireModel):
    """A tool that is called with text instead of JSON."""

    type: str
    name: ToolName
    description: Text = None
    format: InputFormat | None = None
    defer_loading: object = None
    allowed_callers: object = None

    def echoed(self) -> dict[str, object]:
        form = {"type": "text"} if self.format is None else self.format.echoed()
        return {"type": self.type, "description": self.description, "format": form, "name": self.name}


def _checked(value: Any, kinds: tuple[str, ...]) -> Any:
    """Raise for a tool without a type, of an unknown type, and of one that this server doesn't run."""
    if not isinstance(value, dict):
        raise validation_errors.invalid_type("a tool", value).in_validator()
    kind = value.get("type")
    if kind is None:
        raise validation_errors.missing().in_validator("type")
    if not isinstance(kind, str):
        raise validation_errors.invalid_type("a string", kind).in_validator("type")
    if kind not in kinds:
        raise validation_errors.not_one_of(kinds, kind).in_validator("type")
    is_inert = kind == "web_search" and value.get("external_web_access") is False
    if kind in HOSTED and not is_inert:
        text = f"Tools of type '{kind}' don't run on this server. Declare a function that does the same."
        raise FieldError("unsupported_value", text, None).in_validator("type")
    return value


def _tool_tag(value: Any) -> str:
    return f"{TAG}{value.get('type') if isinstance(value, dict) else value.type}"


NamespacedToolParam = Annotated[
    Annotated[FunctionTool, Tag(f"{TAG}function")] | Annotated[CustomTool, Tag(f"{TAG}custom")],
    Discriminator(_tool_tag),
    BeforeValidator(lambda value: _checked(value, ("function", "custom"))),
]


class Namespace(WireModel):
    """Tools whose calls carry the namespace's name besides their own."""

    type: str
    name: ToolName
    description: Text = None
    tools: Annotated[Items[NamespacedToolParam], fields.array("an array of tools", longest=MAX_TOOLS)]

    def echoed(self) -> dict[str, object]:
        tools = [tool.echoed() for tool in self.tools]
        return {"type": self.type, "description": self.description, "name": self.name, "tools": tools}


class InertWebSearch(WireModel):
    """A search without access to the web, which Codex always declares; it is never called."""

    type: str
    external_web_access: Flag
    filters: object = None
    user_location: object = None
    search_context_size: object = None
    search_content_types: object = None

    def echoed(self) -> dict[str, object]:
        return {"type": self.type, "external_web_access": self.external_web_access}


Tool = FunctionTool | CustomTool | Namespace | InertWebSearch
ToolParam = Annotated[
    Annotated[FunctionTool, Tag(f"{TAG}function")]
    | Annotated[CustomTool, Tag(f"{TAG}custom")]
    | Annotated[Namespace, Tag(f"{TAG}namespace")]
    | Annotated[InertWebSearch, Tag(f"{TAG}web_search")],
    Discriminator(_tool_tag),
    BeforeValidator(lambda value: _checked(value, (*_OWN, *HOSTED))),
]
Tools = Annotated[
    Items[ToolParam] | None,
    fields.array("an array of tools", longest=MAX_TOOLS, may_be_null=True, may_be_empty=True),
]


class NamedTool(WireModel):
    """One tool by its type and name."""

    type: str
    name: Annotated[str | None, fields.text(longest=fields.MAX_LABEL)] = None
    namespace: Annotated[str | None, fields.text(longest=fields.MAX_LABEL)] = None
    server_label: fields.Label = None


class ToolChoiceParam(WireModel):
    """Which tools may be called. A mode given as a string is parsed as `type`."""

    type: Annotated[str, fields.one_of(*MODES, *_CHOICES)]
    name: Annotated[str | None, fields.text(longest=fields.MAX_LABEL)] = None
    namespace: Annotated[str | None, fields.text(longest=fields.MAX_LABEL)] = None
    mode: Annotated[str | None, fields.one_of("auto", "required")] = None
    tools: Annotated[
        Items[NamedTool] | None, fields.array("an array of objects", longest=MAX_TOOLS, may_be_null=True)
    ] = None


def _read_choice(value: Any) -> Any:
    if value is None or isinstance(value, ToolChoiceParam):
        return value
    if isinstance(value, str):
        if value not in MODES:
            raise validation_errors.not_one_of(MODES, value).in_validator()
        return {"type": value}
    if not isinstance(value, dict):
        raise validation_errors.invalid_type(_CHOICE_NOUN, value).in_validator()
    kind = value.get("type")
    if kind is None:
        raise validation_errors.missing().in_validator("type")
    if kind in HOSTED:
        text = f"Tools of type '{kind}' don't run on this server."
        raise FieldError("unsupported_value", text, None).in_validator("type")
    if not isinstance(kind, str) or kind not in _CHOICES:
        raise validation_errors.not_one_of(_CHOICES, str(kind)).in_validator("type")
    for name in ("mode", "tools") if kind == "allowed_tools" else ("name",):
        if value.get(name) is None:
            raise validation_errors.missing().in_validator(name)
    return value


ToolChoiceField = Annotated[ToolChoiceParam | None, BeforeValidator(_read_choice)]

"""The tools of a chat request, and which of them the model may or must call."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from myna.api.chat.messages import FunctionName
from myna.wire import fields, validation_errors
from myna.wire.fields import Flag, Text
from myna.wire.validation import Items, TypedModel, WireModel

MAX_TOOLS: Final = 128
MODES: Final = ("none", "auto", "required")
_CHOICE_NOUN: Final = f"one of one of {validation_errors.quoted_list(MODES, 'or')} or object"
_CALL_MODES: Final = ("none", "auto")
_CALL_NOUN: Final = f"one of one of {validation_errors.quoted_list(_CALL_MODES, 'or')} or object"


class Function(WireModel):
    """A function that the model may call, as the older `functions` declares it."""

    name: FunctionName
    description: Text = None
    parameters: dict[str, Any] | None = None


class FunctionSpec(Function):
    """A function declared in `tools`."""

    strict: Flag = None


class InputGrammar(WireModel):
    """The grammar that a custom tool's input must follow."""

    definition: Annotated[str, fields.text(may_be_empty=False)]
    syntax: Annotated[str, fields.one_of("lark", "regex")]


class InputFormat(TypedModel):
    """Any text, or text that follows a grammar."""

    type: Annotated[str, fields.one_of("text", "grammar")]
    grammar: InputGrammar | None = None


class CustomSpec(WireModel):
    """A tool that is called with text instead of JSON."""

    name: FunctionName
    description: Text = None
    format: InputFormat | None = None


class Tool(TypedModel):
    """A tool of either kind."""

    type: Annotated[str, fields.one_of("function", "custom")]
    function: FunctionSpec | None = None
    custom: CustomSpec | None = None


class ToolName(WireModel):
    """A tool by its name."""

    name: Annotated[str, fields.text(longest=fields.MAX_LABEL)]


class NamedTool(TypedModel):
    """One tool of a choice's list."""

    type: Annotated[str, fields.one_of("function", "custom")]
    function: ToolName | None = None
    custom: ToolName | None = None


class AllowedTools(WireModel):
    """A subset of the declared tools, from which the model may or must call."""

    mode: Annotated[str, fields.one_of("auto", "required")]
    tools: Annotated[Items[NamedTool], fields.array("an array of objects", longest=MAX_TOOLS)]


class ToolChoiceParam(TypedModel):
    """Which tools may be called. A mode given as a string is parsed as `type`."""

    type: Annotated[str, fields.one_of(*MODES, "function", "allowed_tools", "custom")]
    function: ToolName | None = None
    allowed_tools: AllowedTools | None = None
    custom: ToolName | None = None


class FunctionChoice(WireModel):
    """The older `function_call`: a function's name, or a mode given as a string."""

    name: Annotated[str | None, fields.never_null("a string"), fields.text(longest=fields.MAX_LABEL)] = None
    mode: str | None = None


def _read_mode(value: Any) -> Any:
    """Accept a string or an object, as OpenAI does."""
    if isinstance(value, str):
        if value not in MODES:
            raise validation_errors.not_one_of(MODES, value).in_validator()
        return {"type": value}
    if isinstance(value, dict) and value.get("type") in MODES:
        raise validation_errors.not_one_of(("function", "allowed_tools"), value["type"]).in_validator("type")
    if value is not None and not isinstance(value, dict):
        raise validation_errors.invalid_type(_CHOICE_NOUN, value).in_validator()
    return value


def _read_call(value: Any) -> Any:
    """Parse the older parameter."""
    if isinstance(value, str):
        if value not in _CALL_MODES:
            raise validation_errors.not_one_of(_CALL_MODES, value).in_validator()
        return {"mode": value}
    if value is not None and not isinstance(value, dict):
        raise validation_errors.invalid_type(_CALL_NOUN, value).in_validator()
    if isinstance(value, dict) and "mode" in value:
        raise validation_errors.unknown().in_validator("mode")
    if isinstance(value, dict) and "name" not in value:
        raise validation_errors.missing().in_validator("name")
    return value


Tools = Annotated[
    Items[Tool] | None, fields.array("an array of objects", longest=MAX_TOOLS, may_be_null=True)
]
Functions = Annotated[
    Items[Function] | None,
    fields.array("an array of function definitions", longest=MAX_TOOLS, may_be_null=True),
]
ToolChoiceField = Annotated[ToolChoiceParam | None, BeforeValidator(_read_mode)]
FunctionCallMode = Annotated[FunctionChoice | None, BeforeValidator(_read_call)]

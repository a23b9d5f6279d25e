"""Tools of a chat request: what it declares, which of them the model may or must call."""

from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, model_validator

from myna.api.chat.messages import FunctionName
from myna.serving import faults, fields
from myna.serving.fields import Flag, Text
from myna.serving.validation import WireModel

MODES: Final = ("none", "auto", "required")
_CHOICE_NOUN: Final = f"one of one of {faults.either(MODES, 'or')} or object"


class FunctionSpec(WireModel):
    """A function that the model may call."""

    name: FunctionName
    description: Text = None
    parameters: dict[str, Any] | None = None
    strict: Flag = None


class Tool(WireModel):
    """A tool; only functions are served."""

    type: Annotated[str, fields.one_of("function", "custom")]
    function: FunctionSpec | None = None
    custom: object = None

    @model_validator(mode="after")
    def _has_its_function(self) -> Self:
        if self.type == "function" and self.function is None:
            raise faults.missing().inside("function")
        return self


class Named(WireModel):
    """A function by its name."""

    name: Annotated[str, fields.text()]


class NamedTool(WireModel):
    """One tool of a choice's list."""

    type: Annotated[str, fields.one_of("function", "custom")]
    function: Named


class AllowedTools(WireModel):
    """A part of the declared tools, one of which may or must be called."""

    mode: Annotated[str, fields.one_of("auto", "required")]
    tools: Annotated[list[NamedTool], fields.array("an array of objects")]


class ToolChoice(WireModel):
    """Which tools may be called. A mode written as a string is read as `type`."""

    type: Annotated[str, fields.one_of(*MODES, "function", "allowed_tools", "custom")]
    function: Named | None = None
    allowed_tools: AllowedTools | None = None
    custom: object = None

    @model_validator(mode="after")
    def _has_what_its_type_says(self) -> Self:
        if self.type in ("function", "allowed_tools") and getattr(self, self.type) is None:
            raise faults.missing().inside(self.type)
        return self


def _read_mode(value: Any) -> Any:
    """OpenAI takes a string or an object."""
    if isinstance(value, str):
        if value not in MODES:
            raise faults.not_one_of(MODES, value).inside()
        return {"type": value}
    if isinstance(value, dict) and value.get("type") in MODES:
        raise faults.not_one_of(("function", "allowed_tools"), value["type"]).inside("type")
    if value is not None and not isinstance(value, dict):
        raise faults.invalid_type(_CHOICE_NOUN, value).inside()
    return value


Tools = Annotated[list[Tool] | None, fields.array("an array of objects", longest=128, may_be_null=True)]
Choice = Annotated[ToolChoice | None, BeforeValidator(_read_mode)]

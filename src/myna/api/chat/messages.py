"""The messages of a chat request: roles, content, names, calls. Knows no model."""

from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from myna.wire import fields, validation_errors
from myna.wire.validation import TAG, Items, TypedModel, WireModel
from myna.wire.validation_errors import FieldError

ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
MAX_PARTS: Final = 2048
MAX_CALL_ID: Final = 40
NAME_PATTERN: Final = "^[a-zA-Z0-9_-]+$"
PERSON_PATTERN: Final = r"^[^\s<|\\/>]+$"
CONTENT_NOUN: Final = "one of a string or array of objects"
_STRING, _ARRAY, _NULL = f"{TAG}string", f"{TAG}array", f"{TAG}null"
_PART_TYPES: Final = ("text", "image_url", "input_audio", "file", "refusal")

_BAD_PART: Final = FieldError(
    "invalid_value", "Invalid '", "'. Content blocks are expected to be either text or image_url type."
)

Role = Annotated[str, fields.one_of(*ROLES)]
FunctionName = Annotated[str, fields.text(longest=64, pattern=NAME_PATTERN, may_be_empty=False)]


def _content_tag(value: Any) -> str | None:
    match value:
        case None:
            return _NULL
        case str():
            return _STRING
        case list() | tuple():
            return _ARRAY
        case _:
            return None


class ContentPart(TypedModel):
    """One part of a content array. Images, audio and files are accepted here and rejected for the model
    later."""

    type: Annotated[str, fields.text(longest=fields.MAX_LABEL)]
    text: Annotated[str | None, fields.text()] = None
    refusal: Annotated[str | None, fields.text()] = None
    image_url: object = None
    input_audio: object = None
    file: object = None
    prompt_cache_breakpoint: object = None


def _check_content(value: Any) -> Any:
    """Raise for content that is not a string, array or null, since the union's own error can't name its
    input; and for content that is too long."""
    if _content_tag(value) is None:
        raise validation_errors.invalid_type(CONTENT_NOUN, value).in_validator()
    if isinstance(value, str) and len(value) > fields.MAX_TEXT:
        raise validation_errors.too_long("string", fields.MAX_TEXT, len(value)).in_validator()
    if isinstance(value, list) and len(value) > MAX_PARTS:
        raise validation_errors.too_long("array", MAX_PARTS, len(value)).in_validator()
    return value


Content = Annotated[
    Annotated[str, Tag(_STRING)] | Annotated[Items[ContentPart], Tag(_ARRAY)] | Annotated[None, Tag(_NULL)],
    Discriminator(_content_tag),
    BeforeValidator(_check_content),
]


class FunctionCallParam(WireModel):
    """A function call made by the assistant."""

    name: FunctionName
    arguments: Annotated[str, fields.text()]
    parsed_arguments: object = None  # of the SDKs, which send a parsed response back unchanged


class CustomCallParam(WireModel):
    """A call of a custom tool, whose input is text."""

    name: FunctionName
    input: Annotated[str, fields.text()]


class ToolCallParam(TypedModel):
    """A call with its id."""

    id: Annotated[str, fields.text(longest=MAX_CALL_ID)]
    type: Annotated[str, fields.one_of("function", "custom")]
    function: FunctionCallParam | None = None
    custom: CustomCallParam | None = None
    index: object = None  # of a streamed call


class MessageParam(WireModel):
    """One message. Every role may have every key here; `check` rejects keys that don't belong to a role."""

    role: Role
    content: Content = None
    name: Annotated[str | None, fields.text(longest=64, pattern=PERSON_PATTERN, may_be_empty=False)] = None
    refusal: Annotated[str | None, fields.text()] = None
    # The SDKs and LiteLLM send a response's message back unchanged; these five are not used.
    id: object = None
    parsed: object = None
    provider_specific_fields: object = None
    annotations: Annotated[
        Items[object] | None,
        fields.array("an array", longest=MAX_PARTS, may_be_null=True, may_be_empty=True),
    ] = None
    audio: object = None
    reasoning_content: fields.Text = None
    reasoning: fields.Text = None  # the name that some servers use for it
    tool_calls: Annotated[
        Items[ToolCallParam] | None, fields.array("an array of objects", longest=128, may_be_null=True)
    ] = None
    function_call: FunctionCallParam | None = None
    tool_call_id: Annotated[str | None, fields.text(longest=MAX_CALL_ID)] = None

    @model_validator(mode="after")
    def _check_role(self) -> Self:
        if isinstance(self.content, list):
            self._check_parts(self.content)
        if self.role == "developer" and self.content is None:
            if "content" in self.model_fields_set:
                raise validation_errors.invalid_type(CONTENT_NOUN, None).in_validator("content")
            raise validation_errors.missing().in_validator("content")
        if self.role == "tool" and self.tool_call_id is None:
            raise validation_errors.missing().in_validator("tool_call_id")
        if self.role == "function" and self.name is None:
            raise validation_errors.missing().in_validator("name")
        return self

    def _check_parts(self, parts: list[ContentPart]) -> None:
        for part in parts:
            if part.type not in _PART_TYPES or (part.type == "refusal" and self.role != "assistant"):
                raise _BAD_PART.in_validator()
            if part.type == "image_url" and self.role != "user":
                raise FieldError(
                    "invalid_value",
                    "Invalid '",
                    "'. Image URLs are only allowed for messages with role 'user', but this message with "
                    f"role '{self.role}' contains an image URL.",
                ).in_validator()

    def text(self) -> str:
        """The content as one text; the parts of an array are joined without a separator."""
        if isinstance(self.content, list):
            return "".join(part.text or part.refusal or "" for part in self.content)
        return self.content or ""

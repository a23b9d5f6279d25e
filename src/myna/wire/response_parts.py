"""Parts of the content of the Responses API's items."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Discriminator, Tag

from myna.wire import fields, validation_errors
from myna.wire.validation import TAG, Items, WireModel
from myna.wire.validation_errors import FieldError

PART_TYPES: Final = (
    "input_text", "input_image", "input_audio", "output_text", "refusal", "input_file",
    "computer_screenshot", "summary_text", "encrypted_content",
)  # fmt: skip
INPUT_PARTS: Final = ("input_text", "input_image", "input_file", "scoped_content", "input_audio")
ASSISTANT_PARTS: Final = ("output_text", "refusal")
MAX_PARTS: Final = 2048
_LOGPROBS_DEPTH: Final = 5
"""A list of objects, each with such a list; the objects of both have lists of bytes."""
_TEXTS: Final = ("input_text", *ASSISTANT_PARTS)
_STRING, _ARRAY = f"{TAG}string", f"{TAG}array"
_CONTENT_NOUN: Final = "one of a string or array of objects"


def _check_part(value: Any) -> Any:
    """Raise for an unknown type, and for a part without what its type has."""
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    if kind not in PART_TYPES:
        raise validation_errors.not_one_of(PART_TYPES, kind if isinstance(kind, str) else "").in_validator(
            "type"
        )
    key = "refusal" if kind == "refusal" else "text"
    if kind in _TEXTS and value.get(key) is None:
        raise validation_errors.missing().in_validator(key)
    return value


class Part(WireModel):
    """A part of a message, of a tool's output, or of a thought. Images, files and audio are rejected: no
    model takes them. Some keys only come from responses that are sent back."""

    type: str
    text: fields.Text = None
    refusal: fields.Text = None
    annotations: object = None
    logprobs: Annotated[object, fields.shallow(_LOGPROBS_DEPTH)] = None
    parsed: object = None
    prompt_cache_breakpoint: object = None
    image_url: object = None
    file_id: object = None
    file_url: object = None
    file_data: object = None
    filename: object = None
    detail: object = None
    input_audio: object = None

    def stored(self) -> dict[str, object]:
        """The part as it is stored and shown."""
        if self.type == "refusal":
            return {"type": self.type, "refusal": self.refusal}
        return text_part(self.type, self.text or "", self.logprobs)


def text_part(kind: str, text: str, logprobs: object = None) -> dict[str, object]:
    if kind == "output_text":
        return {"type": kind, "annotations": [], "logprobs": logprobs or [], "text": text}
    return {"type": kind, "text": text}


PartParam = Annotated[Part, BeforeValidator(_check_part)]


def _content_tag(value: Any) -> str:
    return _ARRAY if isinstance(value, list) else _STRING


def _check_content(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise validation_errors.invalid_type(_CONTENT_NOUN, value).in_validator()
    if isinstance(value, str) and len(value) > fields.MAX_TEXT:
        raise validation_errors.too_long("string", fields.MAX_TEXT, len(value)).in_validator()
    if isinstance(value, list) and len(value) > MAX_PARTS:
        raise validation_errors.too_long("array", MAX_PARTS, len(value)).in_validator()
    return value


Content = Annotated[
    Annotated[str, Tag(_STRING)] | Annotated[Items[PartParam], Tag(_ARRAY)],
    Discriminator(_content_tag),
    BeforeValidator(_check_content),
]


def text_of(content: str | Sequence[Part]) -> str:
    """The content as one text; parts are joined without a separator."""
    if isinstance(content, str):
        return content
    return "".join(part.text or part.refusal or "" for part in content)


def check_parts(content: str | Sequence[Part], allowed: Sequence[str], key: str) -> None:
    """Raise for parts of another role, and for those that no model takes."""
    for i, part in enumerate([] if isinstance(content, str) else content):
        if part.type not in allowed:
            raise validation_errors.not_one_of(allowed, part.type).in_validator(f"{key}[{i}]")
        if part.type not in _TEXTS:
            text = f"Invalid content type. {part.type} is only supported by certain models."
            raise FieldError("invalid_value", text, None).in_validator(f"{key}[{i}].type")

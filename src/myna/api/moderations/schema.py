"""The schema of a moderation request. Knows no model and no HTTP."""

from typing import Annotated, Final

from myna.core.errors import InvalidRequest
from myna.wire import validation_errors
from myna.wire.fields import plain, within_limit
from myna.wire.validation import WireModel

MAX_INPUTS: Final = 2048
_FORMS: Final = "one of a string, array of strings, or array of objects"


def _texts(value: object) -> tuple[str, ...]:
    """The texts to classify, one for each result: an array of parts is one text."""
    if isinstance(value, str):
        return (within_limit(value, ""),)
    if not isinstance(value, list):
        raise validation_errors.invalid_type(_FORMS, value).in_validator()
    if not value:
        raise validation_errors.empty("array").in_validator()
    if len(value) > MAX_INPUTS:
        raise validation_errors.too_long("array", MAX_INPUTS, len(value)).in_validator()
    if not isinstance(value[0], dict):
        return tuple(_text(text, f"[{i}]") for i, text in enumerate(value))
    whole = "\n".join(_part(part, f"[{i}]") for i, part in enumerate(value))
    return (within_limit(whole, ""),)


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise validation_errors.invalid_type("a string", value).in_validator(place)
    return within_limit(value, place)


def _part(value: object, place: str) -> str:
    if not isinstance(value, dict):
        raise validation_errors.invalid_type("an object", value).in_validator(place)
    kind = value.get("type")
    if kind is None:
        raise validation_errors.missing().in_validator(f"{place}.type")
    if kind == "image_url":
        raise InvalidRequest(
            f"Invalid 'input{place}': images are not supported; the guard model of this server classifies "
            "texts.",
            param=f"input{place}",
            code="unsupported_value",
        )
    if not isinstance(kind, str):
        raise validation_errors.invalid_type("a string", kind).in_validator(f"{place}.type")
    if kind != "text":
        raise validation_errors.not_one_of(("text", "image_url"), kind).in_validator(f"{place}.type")
    if unknown := next((key for key in value if key not in ("type", "text")), None):
        raise validation_errors.unknown().in_validator(f"{place}.{unknown}")
    if "text" not in value:
        raise validation_errors.missing().in_validator(f"{place}.text")
    return _text(value["text"], f"{place}.text")


class ModerationRequest(WireModel):
    """The body of `POST /v1/moderations`, with the name of the model."""

    model: str
    input: Annotated[tuple[str, ...], plain(_texts)]

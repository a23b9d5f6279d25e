"""The fields with which other servers take the format of an answer, besides OpenAI's `response_format`."""

from typing import Annotated, Any, Final

import orjson
from pydantic import Field

from myna.wire import validation_errors
from myna.wire.fields import Flag, plain, text
from myna.wire.validation import WireModel

MAX_CHOICES: Final = 1024


def _schema(value: object) -> dict[str, Any] | None:
    """A JSON schema, or its text."""
    schema = value
    if isinstance(value, str):
        try:
            schema = orjson.loads(value)
        except orjson.JSONDecodeError:
            schema = value
    if schema is not None and not isinstance(schema, dict):
        raise validation_errors.invalid_type("one of a JSON schema or its text", schema).in_validator()
    return schema


def _choices(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise validation_errors.invalid_type("an array of strings", value).in_validator()
    if not value:
        raise validation_errors.empty("array").in_validator()
    if len(value) > MAX_CHOICES:
        raise validation_errors.too_long("array", MAX_CHOICES, len(value)).in_validator()
    for i, choice in enumerate(value):
        if not isinstance(choice, str):
            raise validation_errors.invalid_type("a string", choice).in_validator(f"[{i}]")
        if not choice:
            raise validation_errors.empty("string").in_validator(f"[{i}]")
    return tuple(value)


GuidedJson = Annotated[dict[str, Any] | None, plain(_schema)]
GuidedText = Annotated[str | None, text(may_be_empty=False)]
GuidedChoice = Annotated[tuple[str, ...] | None, plain(_choices)]


class StructuredOutputs(WireModel):
    """One of these formats."""

    json_: Annotated[GuidedJson, Field(alias="json")] = None
    json_object: Flag = None
    regex: GuidedText = None
    choice: GuidedChoice = None
    grammar: GuidedText = None

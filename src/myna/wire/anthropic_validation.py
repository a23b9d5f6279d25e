"""Validates the body of a request in Anthropic's API, with pydantic's error texts after their place."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from myna.core.errors import InvalidRequest
from myna.wire.ignored import IgnoredFields
from myna.wire.parameters import Parameter, Support
from myna.wire.validation import TAG, WireModel

M = TypeVar("M", bound=WireModel)

_MAX_TEXT: Final = 1024


def validate_anthropic(
    schema: type[M],
    body: Mapping[str, object],
    parameters: Mapping[str, Parameter],
    ignored: IgnoredFields | None = None,
) -> M:
    """The typed request; see `validation.validate`. Unknown names are reported last, as Anthropic does."""
    has_no_effect = {name for name, parameter in parameters.items() if parameter.support is Support.NO_EFFECT}
    try:
        return schema.model_validate(
            {name: value for name, value in body.items() if name not in has_no_effect}, context=ignored
        )
    except ValidationError as exc:
        found = exc.errors(include_url=False)
    first = next((error for error in found if error["type"] != "extra_forbidden"), found[0])
    raise InvalidRequest(_text(first))


def invalid(text: str) -> PydanticCustomError:
    """The error to raise in a validator; its place comes before the text."""
    return PydanticCustomError("anthropic", "{text}", {"text": text})


def place_of(loc: Sequence[str | int]) -> str:
    """`messages.0.content.1.text` for pydantic's location."""
    return ".".join(str(step) for step in loc if not str(step).startswith(TAG))


def _text(error: ErrorDetails) -> str:
    text = f"{place_of(error['loc'])}: {error['msg']}"
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."

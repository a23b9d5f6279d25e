"""The schema of an embedding request. Knows no model and no HTTP."""

import reprlib
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator

from myna.core.errors import InvalidRequest
from myna.wire import validation_errors
from myna.wire.fields import Label, plain, within_limit
from myna.wire.validation import WireModel

MAX_INPUTS: Final = 2048
INVALID_INPUT: Final = (
    "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
)
_MAX_ECHO: Final = 64
_SHORT: Final = reprlib.Repr()  # of a huge value, `repr` would hold the GIL for long
_SHORT.maxlist = _SHORT.maxdict = _SHORT.maxlevel = _MAX_ECHO
_SHORT.maxstring = _SHORT.maxlong = 4 * _MAX_ECHO

Input = str | tuple[int, ...]
Encoding = Literal["float", "base64"]


def _inputs(value: object) -> tuple[Input, ...]:
    """All forms as a tuple of texts or token ids; a flat array of ids is one input."""
    if isinstance(value, str):
        return (_text(value, ""),)
    if not isinstance(value, list) or not value:
        raise InvalidRequest(INVALID_INPUT)
    if type(value[0]) is int:
        return (_tokens(value),)
    if len(value) > MAX_INPUTS:
        raise validation_errors.too_long("array", MAX_INPUTS, len(value)).in_validator()
    if isinstance(value[0], list):
        return tuple(map(_tokens, value))
    return tuple(_text(text, f"[{i}]") for i, text in enumerate(value))


def _text(value: object, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidRequest(INVALID_INPUT)
    return within_limit(value, place)


def _tokens(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(type(token) is int for token in value):
        raise InvalidRequest(INVALID_INPUT)
    if min(value) < 0:
        raise InvalidRequest(INVALID_INPUT)
    return tuple(value)


def _encoding(value: object) -> object:
    if value is None or value in ("float", "base64"):
        return value
    raise InvalidRequest(f"{_shown(value)} is not one of ['float', 'base64'] - 'encoding_format'")


def _dimensions(value: object) -> object:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidRequest(f"{_shown(value)} is not of type 'integer' - 'dimensions'")
    if value is not None and value < 1:
        raise InvalidRequest(f"{value} is less than the minimum of 1 - 'dimensions'")
    return value


def _shown(value: object) -> str:
    """The value as OpenAI's validator of this endpoint quotes it, cut if it is long."""
    shown = _SHORT.repr(value)
    return shown if len(shown) <= _MAX_ECHO else f"{shown[:_MAX_ECHO]}..."


class EmbeddingsRequest(WireModel):
    """The body of `POST /v1/embeddings`; null means the default."""

    model: str
    input: Annotated[tuple[Input, ...], plain(_inputs)]
    encoding_format: Annotated[Encoding | None, BeforeValidator(_encoding)] = None
    dimensions: Annotated[int | None, BeforeValidator(_dimensions)] = None
    user: Label = None

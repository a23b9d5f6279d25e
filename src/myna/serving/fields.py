"""The kinds of field that request schemas are made of, each with OpenAI's words for a wrong value."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainValidator, StrictBool, StrictFloat, StrictInt

from myna.serving import faults
from myna.serving.validation import WireModel

MAX_STOPS: Final = 4
MAX_STOP: Final = 4096
MAX_BIASES: Final = 1024
MAX_TEXT: Final = 10_485_760
"""OpenAI's bound on a string that becomes part of the prompt, in characters."""
MAX_LABEL: Final = 512
MAX_OPTIONS: Final = 16
_INT64: Final = 2**63
_TOKEN_DIGITS: Final = 18
"""More than any vocabulary needs, fewer than make `int` slow."""


def integer(minimum: int | None = None, maximum: int | None = None) -> BeforeValidator:
    """A whole number within bounds."""

    def check(value: object) -> object:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise faults.invalid_type("an integer", value).inside()
        _within("integer", value, minimum, maximum)
        return value

    return BeforeValidator(check)


def decimal(minimum: float, maximum: float) -> BeforeValidator:
    """A number within bounds."""

    def check(value: object) -> object:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise faults.invalid_type("a decimal", value).inside()
        _within("decimal", value, minimum, maximum)
        return float(value)

    return BeforeValidator(check)


def _within(kind: str, value: float, minimum: float | None, maximum: float | None) -> None:
    if minimum is not None and value < minimum:
        raise faults.outside(kind, "below", minimum, value).inside()
    if maximum is not None and value > maximum:
        raise faults.outside(kind, "above", maximum, value).inside()


def text(
    *, longest: int = MAX_TEXT, pattern: str | None = None, may_be_empty: bool = True
) -> BeforeValidator:
    """A string within limits."""
    expression = re.compile(pattern) if pattern else None

    def check(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str):
            raise faults.invalid_type("a string", value).inside()
        if not value and not may_be_empty:
            raise faults.empty("string").inside()
        if len(value) > longest:
            raise faults.too_long("string", longest, len(value)).inside()
        if pattern and expression and not expression.fullmatch(value):
            raise faults.pattern(pattern).inside()
        return value

    return BeforeValidator(check)


def one_of(*values: str, expected: str = "a string") -> BeforeValidator:
    """One of some names, listed in OpenAI's order."""

    def check(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str):
            raise faults.invalid_type(expected, value).inside()
        if value not in values:
            raise faults.not_one_of(values, value).inside()
        return value

    return BeforeValidator(check)


def array(
    expected: str, *, longest: int, may_be_null: bool = False, may_be_empty: bool = False
) -> BeforeValidator:
    """A list within limits, which are checked before its elements."""

    def check(value: object) -> object:
        if value is None and may_be_null:
            return None
        if not isinstance(value, list):
            raise faults.invalid_type(expected, value).inside()
        if not value and not may_be_empty:
            raise faults.empty("array").inside()
        if len(value) > longest:
            raise faults.too_long("array", longest, len(value)).inside()
        return value

    return BeforeValidator(check)


def small_object(most: int) -> BeforeValidator:
    """An object of few properties, whatever they hold."""

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > most:
            raise faults.too_many_properties(most, len(value)).inside()
        return value

    return BeforeValidator(check)


def never_null(expected: str) -> BeforeValidator:
    """Refuses null where the key must hold a value if it is there at all."""

    def check(value: object) -> object:
        if value is None:
            raise faults.invalid_type(expected, value).inside()
        return value

    return BeforeValidator(check)


def plain(parse: Callable[[Any], Any]) -> PlainValidator:
    """A field whose whole reading is one function that returns a typed value."""
    return PlainValidator(parse)


def _stops(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    single = isinstance(value, str)
    if single:
        value = [value]
    if not isinstance(value, list):
        raise faults.invalid_type("one of a string or array of strings", value).inside()
    if not value:
        raise faults.empty("array").inside()
    if len(value) > MAX_STOPS:
        raise faults.too_long("array", MAX_STOPS, len(value)).inside()
    for i, stop in enumerate(value):
        place = "" if single else f"[{i}]"
        if not isinstance(stop, str):
            raise faults.invalid_type("a string", stop).inside(place)
        if not stop:
            raise faults.empty("string").inside(place)
        if len(stop) > MAX_STOP:
            raise faults.too_long("string", MAX_STOP, len(stop)).inside(place)
    return tuple(value)


def _biases(value: object) -> tuple[tuple[int, float], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise faults.invalid_type("an object", value).inside()
    if len(value) > MAX_BIASES:
        raise faults.too_many_properties(MAX_BIASES, len(value)).inside()
    biases: dict[int, float] = {}
    for key, bias in value.items():
        if not (key.isascii() and key.isdigit()):
            message = (
                f"Invalid key in 'logit_bias': {faults.echoed(key)}. "
                "You should only be submitting non-negative integers."
            )
            raise faults.Fault(None, message, None).inside()
        if isinstance(bias, bool) or not isinstance(bias, int | float):
            raise faults.invalid_type("a decimal", bias).inside(key)
        if not -100 <= bias <= 100:
            side, bound = ("below", -100) if bias < 0 else ("above", 100)
            raise faults.outside("decimal", side, bound, bias).inside(key)
        biases[int(key[:_TOKEN_DIGITS])] = float(bias)
    return tuple(biases.items())


def _metadata(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise faults.invalid_type("a metadata object", value).inside()
    if len(value) > 16:
        raise faults.too_many_properties(16, len(value)).inside()
    for key, entry in value.items():
        if len(key) > 64:
            short = f"{key[:3]}...{key[-3:]}"
            raise faults.Fault(
                "property_name_above_max_length",
                f"Invalid property name in 'metadata': '{short}' is too long. "
                f"Expected a string with maximum length 64, but got a string with length {len(key)} instead.",
                None,
            ).inside(key)
        if not isinstance(entry, str):
            raise faults.invalid_type("a string", entry).inside(key)
        if len(entry) > 512:
            raise faults.too_long("string", 512, len(entry)).inside(key)
    return tuple(value.items())


Flag = StrictBool | None
Text = Annotated[str | None, text()]
Label = Annotated[str | None, text(longest=MAX_LABEL)]
Seed = Annotated[StrictInt | None, integer(-_INT64, _INT64 - 1)]
Temperature = Annotated[StrictFloat | None, decimal(0, 2)]
Fraction = Annotated[StrictFloat | None, decimal(0, 1)]
Penalty = Annotated[StrictFloat | None, decimal(-2, 2)]
Count = Annotated[StrictInt | None, integer(1, 128)]
TopK = Annotated[StrictInt | None, integer(0)]
Stops = Annotated[tuple[str, ...], plain(_stops)]
Biases = Annotated[tuple[tuple[int, float], ...], plain(_biases)]
Metadata = Annotated[tuple[tuple[str, str], ...], plain(_metadata)]


class StreamOptions(WireModel):
    """What a stream carries beside its text."""

    include_usage: Flag = None
    include_obfuscation: Flag = None

"""The field types of request schemas, each with OpenAI's error texts for invalid values."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainValidator, StrictBool, StrictFloat, StrictInt

from myna.wire import validation_errors
from myna.wire.validation import WireModel

MAX_STOPS: Final = 16
"""OpenAI allows 4; editors send up to 12."""
MAX_STOP: Final = 4096
MAX_BIASES: Final = 1024
MAX_STOP_TOKENS: Final = 128
MAX_TEXT: Final = 10_485_760
"""OpenAI's limit on a string that becomes part of the prompt, in characters."""
MAX_LABEL: Final = 512
MAX_OPTIONS: Final = 16
_INT64: Final = 2**63
_TOKEN_DIGITS: Final = 18
"""More than any vocabulary needs, but few enough for `int` to be fast."""


def integer(minimum: int | None = None, maximum: int | None = None) -> BeforeValidator:
    """An integer within bounds."""

    def check(value: object) -> object:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise validation_errors.invalid_type("an integer", value).in_validator()
        _within("integer", value, minimum, maximum)
        return value

    return BeforeValidator(check)


def decimal(minimum: float, maximum: float) -> BeforeValidator:
    """A number within bounds."""

    def check(value: object) -> object:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise validation_errors.invalid_type("a decimal", value).in_validator()
        _within("decimal", value, minimum, maximum)
        return float(value)

    return BeforeValidator(check)


def _within(kind: str, value: float, minimum: float | None, maximum: float | None) -> None:
    if minimum is not None and value < minimum:
        raise validation_errors.out_of_range(kind, "below", minimum, value).in_validator()
    if maximum is not None and value > maximum:
        raise validation_errors.out_of_range(kind, "above", maximum, value).in_validator()


def text(
    *, longest: int = MAX_TEXT, pattern: str | None = None, may_be_empty: bool = True
) -> BeforeValidator:
    """A string within limits."""
    expression = re.compile(pattern) if pattern else None

    def check(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str):
            raise validation_errors.invalid_type("a string", value).in_validator()
        if not value and not may_be_empty:
            raise validation_errors.empty("string").in_validator()
        if len(value) > longest:
            raise validation_errors.too_long("string", longest, len(value)).in_validator()
        if pattern and expression and not expression.fullmatch(value):
            raise validation_errors.pattern(pattern).in_validator()
        return value

    return BeforeValidator(check)


def within_limit(text: str, place: str) -> str:
    """A text that becomes part of the prompt, at that place in its field, if it is no longer than OpenAI
    allows."""
    if len(text) > MAX_TEXT:
        raise validation_errors.too_long("string", MAX_TEXT, len(text)).in_validator(place)
    return text


def one_of(*values: str, expected: str = "a string") -> BeforeValidator:
    """One of the given names, listed in OpenAI's order."""

    def check(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str):
            raise validation_errors.invalid_type(expected, value).in_validator()
        if value not in values:
            raise validation_errors.not_one_of(values, value).in_validator()
        return value

    return BeforeValidator(check)


def array(
    expected: str, *, longest: int, may_be_null: bool = False, may_be_empty: bool = False
) -> BeforeValidator:
    """An array within limits, which are checked before its elements."""

    def check(value: object) -> object:
        if value is None and may_be_null:
            return None
        if not isinstance(value, list):
            raise validation_errors.invalid_type(expected, value).in_validator()
        if not value and not may_be_empty:
            raise validation_errors.empty("array").in_validator()
        if len(value) > longest:
            raise validation_errors.too_long("array", longest, len(value)).in_validator()
        return value

    return BeforeValidator(check)


def small_object(most: int) -> BeforeValidator:
    """An object with at most `most` properties of any kind."""

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > most:
            raise validation_errors.too_many_properties(most, len(value)).in_validator()
        return value

    return BeforeValidator(check)


def shallow(deepest: int) -> BeforeValidator:
    """A value of any kind with at most that many arrays and objects inside one another."""

    def check(value: object) -> object:
        level = [value]
        for _ in range(deepest + 1):
            nested = [one for one in level if isinstance(one, dict | list)]
            level = [part for one in nested for part in (one.values() if isinstance(one, dict) else one)]
        if level:
            rest = f"': expected at most {deepest} arrays and objects inside one another."
            raise validation_errors.FieldError("invalid_value", "Invalid '", rest).in_validator()
        return value

    return BeforeValidator(check)


def never_null(expected: str) -> BeforeValidator:
    """Rejects null for a key that may be absent but not null."""

    def check(value: object) -> object:
        if value is None:
            raise validation_errors.invalid_type(expected, value).in_validator()
        return value

    return BeforeValidator(check)


def plain(parse: Callable[[Any], Any]) -> PlainValidator:
    """A field that is parsed by one function, which returns a typed value."""
    return PlainValidator(parse)


def _stops(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    single = isinstance(value, str)
    if single:
        value = [value]
    if not isinstance(value, list):
        raise validation_errors.invalid_type("one of a string or array of strings", value).in_validator()
    if not value:
        raise validation_errors.empty("array").in_validator()
    if len(value) > MAX_STOPS:
        raise validation_errors.too_long("array", MAX_STOPS, len(value)).in_validator()
    for i, stop in enumerate(value):
        place = "" if single else f"[{i}]"
        if not isinstance(stop, str):
            raise validation_errors.invalid_type("a string", stop).in_validator(place)
        if not stop:
            raise validation_errors.empty("string").in_validator(place)
        if len(stop) > MAX_STOP:
            raise validation_errors.too_long("string", MAX_STOP, len(stop)).in_validator(place)
    return tuple(value)


def _biases(value: object) -> tuple[tuple[int, float], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise validation_errors.invalid_type("an object", value).in_validator()
    if len(value) > MAX_BIASES:
        raise validation_errors.too_many_properties(MAX_BIASES, len(value)).in_validator()
    biases: dict[int, float] = {}
    for key, bias in value.items():
        if not (key.isascii() and key.isdigit()):
            message = (
                f"Invalid key in 'logit_bias': {validation_errors.echoed(key)}. "
                "You should only be submitting non-negative integers."
            )
            raise validation_errors.FieldError(None, message, None).in_validator()
        if isinstance(bias, bool) or not isinstance(bias, int | float):
            raise validation_errors.invalid_type("a decimal", bias).in_validator(key)
        if not -100 <= bias <= 100:
            side, bound = ("below", -100) if bias < 0 else ("above", 100)
            raise validation_errors.out_of_range("decimal", side, bound, bias).in_validator(key)
        biases[int(key[:_TOKEN_DIGITS])] = float(bias)
    return tuple(biases.items())


def _token_ids(value: object) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise validation_errors.invalid_type("an array of integers", value).in_validator()
    if len(value) > MAX_STOP_TOKENS:
        raise validation_errors.too_long("array", MAX_STOP_TOKENS, len(value)).in_validator()
    for i, token in enumerate(value):
        if type(token) is not int:
            raise validation_errors.invalid_type("an integer", token).in_validator(f"[{i}]")
        if token < 0:
            raise validation_errors.out_of_range("integer", "below", 0, token).in_validator(f"[{i}]")
    return tuple(value)


def _metadata(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise validation_errors.invalid_type("a metadata object", value).in_validator()
    if len(value) > 16:
        raise validation_errors.too_many_properties(16, len(value)).in_validator()
    for key, entry in value.items():
        if len(key) > 64:
            short = f"{key[:3]}...{key[-3:]}"
            raise validation_errors.FieldError(
                "property_name_above_max_length",
                f"Invalid property name in 'metadata': '{short}' is too long. "
                f"Expected a string with maximum length 64, but got a string with length {len(key)} instead.",
                None,
            ).in_validator(key)
        if not isinstance(entry, str):
            raise validation_errors.invalid_type("a string", entry).in_validator(key)
        if len(entry) > 512:
            raise validation_errors.too_long("string", 512, len(entry)).in_validator(key)
    return tuple(value.items())


Flag = StrictBool | None
Text = Annotated[str | None, text()]
Label = Annotated[str | None, text(longest=MAX_LABEL)]
Seed = Annotated[StrictInt | None, integer(-_INT64, _INT64 - 1)]
Temperature = Annotated[StrictFloat | None, decimal(0, 2)]
Fraction = Annotated[StrictFloat | None, decimal(0, 1)]
Penalty = Annotated[StrictFloat | None, decimal(-2, 2)]
Count = Annotated[StrictInt | None, integer(1, 128)]
TopK = Annotated[StrictInt | None, integer(-1)]
RepetitionPenalty = Annotated[StrictFloat | None, decimal(0.01, 10)]
MinTokens = Annotated[StrictInt | None, integer(0)]
StopTokens = Annotated[tuple[int, ...], plain(_token_ids)]
Stops = Annotated[tuple[str, ...], plain(_stops)]
Biases = Annotated[tuple[tuple[int, float], ...], plain(_biases)]
Metadata = Annotated[tuple[tuple[str, str], ...], plain(_metadata)]


class StreamOptions(WireModel):
    """What a stream contains besides its text."""

    include_usage: Flag = None
    include_obfuscation: Flag = None

"""What OpenAI says about a wrong value: one template a fault. Knows texts and codes, no endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson
from pydantic_core import PydanticCustomError

from myna.core.errors import InvalidRequest

FAULT: Final = "openai_fault"
_ECHO_LIMIT: Final = 64
_PLACE_LIMIT: Final = 1024


@dataclass(frozen=True, slots=True)
class FieldError:
    """A fault without its place: the text stands around the name of the parameter.

    `after` None: the text doesn't name the place, only the body's `param` does. `field` is a step
    further down from where the fault is raised; `param` replaces the place in the body's `param`.
    """

    code: str | None
    before: str
    after: str | None
    field: str = ""
    param: str | None = None

    def at_param(self, place: str) -> InvalidRequest:
        """The error to raise for the parameter of that name."""
        where = join_path(place, self.field)
        if len(where) > _PLACE_LIMIT:  # a client's own key
            where = f"{where[:_PLACE_LIMIT]}..."
        message = self.before if self.after is None else f"{self.before}{where}{self.after}"
        return InvalidRequest(message, param=self.param or where, code=self.code)

    def in_validator(self, step: str = "") -> PydanticCustomError:
        """The same for a pydantic validator, which doesn't know its place yet: there, or a step
        further down (`[1]`, or a key)."""
        fault = replace(self, field=step) if step else self
        return PydanticCustomError(FAULT, "fault", {"fault": fault})


def join_path(place: str, step: str) -> str:
    """The name of what stands one step further down: `stop` and `[1]`, `metadata` and `key`."""
    return f"{place}{step}" if not (place and step) or step.startswith("[") else f"{place}.{step}"


def got(value: object) -> str:
    """OpenAI's noun for the type of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case str():
            return "a string"
        case list() | tuple():
            return "an array"
        case _:
            return "an object"


def echoed(value: str) -> str:
    """A client's text as it stands in a message: long ones keep three characters at each end."""
    return value if len(value) <= _ECHO_LIMIT else f"{value[:3]}...{value[-3:]}"


def either(values: Sequence[str], last: str) -> str:
    """'a', 'b', and 'c' (or another last word), as OpenAI lists quoted values."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return f" {last} ".join(quoted)
    return f"{', '.join(quoted[:-1])}, {last} {quoted[-1]}"


def invalid_type(expected: str, value: object) -> FieldError:
    return FieldError(
        "invalid_type", "Invalid type for '", f"': expected {expected}, but got {got(value)} instead."
    )


def missing() -> FieldError:
    return FieldError("missing_required_parameter", "Missing required parameter: '", "'.")


def unknown(hint: str = "") -> FieldError:
    return FieldError("unknown_parameter", "Unknown parameter: '", f"'.{hint}")


def unsupported() -> FieldError:
    """A parameter of OpenAI's that this server or model doesn't have."""
    return FieldError(
        "unsupported_parameter", "Unsupported parameter: '", "' is not supported with this model."
    )


def unsupported_value(value: str, supported: str = "") -> FieldError:
    return FieldError(
        "unsupported_value",
        "Unsupported value: '",
        f"' does not support '{echoed(value)}' with this model.{supported}",
    )


def not_one_of(values: Sequence[str], value: str) -> FieldError:
    listed = either(values, "and")
    return FieldError(
        "invalid_value", f"Invalid value: '{echoed(value)}'. Supported values are: {listed}.", None
    )


def pattern(expression: str) -> FieldError:
    return FieldError(
        "invalid_value",
        "Invalid '",
        f"': string does not match pattern. Expected a string that matches the pattern '{expression}'.",
    )


def empty(kind: str) -> FieldError:
    """`kind`: array or string."""
    noun = "an array" if kind == "array" else "a string"
    return FieldError(
        f"empty_{kind}",
        "Invalid '",
        f"': empty {kind}. Expected {noun} with minimum length 1, but got an empty {kind} instead.",
    )


def too_long(kind: str, limit: int, length: int) -> FieldError:
    """`kind`: array or string."""
    noun = "an array" if kind == "array" else "a string"
    return FieldError(
        f"{kind}_above_max_length",
        "Invalid '",
        f"': {kind} too long. Expected {noun} with maximum length {limit}, "
        f"but got {noun} with length {length} instead.",
    )


def too_many_properties(limit: int, count: int) -> FieldError:
    return FieldError(
        "object_above_max_properties",
        "Invalid '",
        f"': too many properties. Expected an object with at most {limit} properties, "
        f"but got an object with {count} properties instead.",
    )


def outside(kind: str, side: str, bound: float, value: float) -> FieldError:
    """`kind` integer or decimal, `side` below or above; numbers are printed as they were sent."""
    end, sign = ("minimum", ">=") if side == "below" else ("maximum", "<=")
    return FieldError(
        f"{kind}_{side}_{end[:3]}_value",
        "Invalid '",
        f"': {kind} {side} {end} value. Expected a value {sign} {_number(bound)}, "
        f"but got {_number(value)} instead.",
    )


def _number(value: float) -> str:
    return orjson.dumps(value).decode() if isinstance(value, float) else str(value)

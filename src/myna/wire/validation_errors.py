"""OpenAI's texts and codes for invalid values, one template per error. Knows no endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson
from pydantic_core import PydanticCustomError

from myna.core.errors import InvalidRequest

FIELD_ERROR: Final = "openai_fault"
_ECHO_LIMIT: Final = 64
_PATH_LIMIT: Final = 1024


@dataclass(frozen=True, slots=True)
class FieldError:
    """A validation error without its path; the text is `before`, the parameter's path, `after`.

    `after` None: the path is only in the body's `param`, not in the text. `field` is one step below the path
    where the error is raised; `param` replaces the path in the body's `param`.
    """

    code: str | None
    before: str
    after: str | None
    field: str = ""
    param: str | None = None

    def at_param(self, path: str) -> InvalidRequest:
        """The error to raise for the parameter at that path."""
        full_path = join_path(path, self.field)
        if len(full_path) > _PATH_LIMIT:  # a client's own key
            full_path = f"{full_path[:_PATH_LIMIT]}..."
        message = self.before if self.after is None else f"{self.before}{full_path}{self.after}"
        return InvalidRequest(message, param=self.param or full_path, code=self.code)

    def in_validator(self, step: str = "") -> PydanticCustomError:
        """The error to raise in a pydantic validator, which doesn't know its path yet; `step` is one step
        below it (`[1]`, or a key)."""
        error = replace(self, field=step) if step else self
        return PydanticCustomError(FIELD_ERROR, "field error", {"error": error})


def join_path(path: str, step: str) -> str:
    """The path one step further down: `stop` and `[1]`, or `metadata` and `key`."""
    return f"{path}{step}" if not (path and step) or step.startswith("[") else f"{path}.{step}"


def json_type(value: object) -> str:
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
    """A client's text as quoted in a message; of a long one, three characters at each end."""
    return value if len(value) <= _ECHO_LIMIT else f"{value[:3]}...{value[-3:]}"


def quoted_list(values: Sequence[str], last: str) -> str:
    """The quoted values as OpenAI lists them: 'a', 'b', and 'c', with `last` as the conjunction."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return f" {last} ".join(quoted)
    return f"{', '.join(quoted[:-1])}, {last} {quoted[-1]}"


def invalid_type(expected: str, value: object) -> FieldError:
    return FieldError(
        "invalid_type", "Invalid type for '", f"': expected {expected}, but got {json_type(value)} instead."
    )


def missing() -> FieldError:
    return FieldError("missing_required_parameter", "Missing required parameter: '", "'.")


def unknown(hint: str = "") -> FieldError:
    return FieldError("unknown_parameter", "Unknown parameter: '", f"'.{hint}")


def unsupported() -> FieldError:
    """A parameter of OpenAI's API that this server or model doesn't support."""
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
    listed = quoted_list(values, "and")
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
    """`kind` is array or string."""
    noun = "an array" if kind == "array" else "a string"
    return FieldError(
        f"empty_{kind}",
        "Invalid '",
        f"': empty {kind}. Expected {noun} with minimum length 1, but got an empty {kind} instead.",
    )


def too_long(kind: str, limit: int, length: int) -> FieldError:
    """`kind` is array or string."""
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


def out_of_range(kind: str, side: str, bound: float, value: float) -> FieldError:
    """`kind` is integer or decimal, `side` below or above; numbers are printed as they were sent."""
    end, sign = ("minimum", ">=") if side == "below" else ("maximum", "<=")
    return FieldError(
        f"{kind}_{side}_{end[:3]}_value",
        "Invalid '",
        f"': {kind} {side} {end} value. Expected a value {sign} {_number(bound)}, "
        f"but got {_number(value)} instead.",
    )


def _number(value: float) -> str:
    return orjson.dumps(value).decode() if isinstance(value, float) else str(value)

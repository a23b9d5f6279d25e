"""Validates a JSON body: returns a typed request, or raises the error that OpenAI would report first."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Final, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails

from myna.core.errors import InvalidRequest
from myna.wire import validation_errors
from myna.wire.ignored import IgnoredFields
from myna.wire.parameters import Parameter, Support
from myna.wire.validation_errors import FIELD_ERROR, FieldError

TAG: Final = "~"
"""The first character of tags of tagged unions, which are not part of a parameter's name."""

_MAX_NAME: Final = 64
_MAX_EDITS: Final = 2
_NOUNS: Final = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a decimal",
    "bool_type": "a boolean",
    "string_type": "a string",
    "list_type": "an array",
    "tuple_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


class _StopAtFirst(FailFast):
    """Hashable, unlike pydantic's own class; unions of annotated types need that."""

    def __hash__(self) -> int:
        return hash(self.fail_fast)


T = TypeVar("T")
Items: TypeAlias = Annotated[list[T], _StopAtFirst()]
"""A list whose validation stops at the first invalid element."""


class WireModel(BaseModel):
    """A request object; its fields are in the order in which OpenAI checks them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_unknown_keys(cls, value: object, info: ValidationInfo) -> object:
        """Move unknown keys to `info.context`, if there is one. Otherwise keep one: pydantic creates an error
        for each, but only the first is reported."""
        ignored: IgnoredFields | None = info.context
        if not isinstance(value, dict) or (ignored is None and len(value) <= len(cls.model_fields)):
            return value
        names = _names(cls)
        unknown = [key for key in value if key not in names]
        if ignored is not None:
            ignored.add(unknown, value)
        dropped = set(unknown[1:] if ignored is None else unknown)
        return {key: entry for key, entry in value.items() if key not in dropped} if dropped else value


@cache
def _names(schema: type[WireModel]) -> frozenset[str]:
    """The keys of an object."""
    return frozenset(field.alias or name for name, field in schema.model_fields.items())


class TypedModel(WireModel):
    """An object whose `type` may name the key that has the details."""

    @model_validator(mode="after")
    def _require_key_of_type(self) -> Self:
        kind = getattr(self, "type", "")
        if kind in type(self).model_fields and getattr(self, kind) is None:
            raise validation_errors.missing().in_validator(kind)
        return self


M = TypeVar("M", bound=WireModel)


def validate(
    schema: type[M],
    body: Mapping[str, object],
    parameters: Mapping[str, Parameter],
    ignored: IgnoredFields | None = None,
) -> M:
    """The typed request. Raises `InvalidRequest` for the first error.

    Checks required parameters, then unknown names, then the fields in the schema's order, then parameters
    that this server rejects by name. With `ignored`, unknown names at any depth and parameters that would be
    rejected are added to it instead.
    """
    for name, parameter in parameters.items():
        if parameter.is_required and name not in body:
            raise validation_errors.missing().at_param(name)
    for name in body:
        if name not in parameters and ignored is None:
            raise validation_errors.unknown(hint=_suggestion(name, parameters.keys() - body.keys())).at_param(
                name
            )
    read = {name: value for name, value in body.items() if _is_read(parameters.get(name))}
    try:
        request = schema.model_validate(read, context=ignored)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]  # there are few: lists stop at their first error
    else:
        if ignored is None:
            reject_unsupported(body, parameters)
        else:
            ignored.add(name for name in body if _is_unsupported(parameters.get(name), body[name]))
        return request
    raise to_invalid_request(first)


def reject_unsupported(body: Mapping[str, object], parameters: Mapping[str, Parameter]) -> None:
    """Raise for the first unsupported parameter whose value is not one of its `allowed` ones."""
    for name, parameter in parameters.items():
        if name in body and _is_unsupported(parameter, body[name]):
            if parameter.error_text:
                raise InvalidRequest(parameter.error_text, param=name)
            raise validation_errors.unsupported().at_param(name)


def _is_read(parameter: Parameter | None) -> bool:
    """Whether the schema has the parameter; None, for an unknown one, is left to it."""
    return parameter is None or parameter.support in (Support.SUPPORTED, Support.HINT)


def _is_unsupported(parameter: Parameter | None, value: object) -> bool:
    return parameter is not None and parameter.support is Support.REJECTED and value not in parameter.allowed


def to_invalid_request(error: ErrorDetails) -> InvalidRequest:
    """The error to raise for pydantic's."""
    path = path_of(error["loc"])
    match error["type"]:
        case kind if kind == FIELD_ERROR:
            field_error: FieldError = error["ctx"]["error"]
            return field_error.at_param(path)
        case "missing":
            return validation_errors.missing().at_param(path)
        case "extra_forbidden":
            return validation_errors.unknown().at_param(path)
        case kind:
            return validation_errors.invalid_type(_NOUNS[kind], error["input"]).at_param(path)


def path_of(loc: Sequence[str | int]) -> str:
    """`messages[1].content[0].text` for pydantic's ("messages", 1, "content", 0, "text")."""
    path = ""
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith(TAG):
            path += f".{step}" if path else step
    return path


def _suggestion(name: str, candidates: set[str]) -> str:
    """OpenAI's spelling help: the names at most two edits away, the nearest first."""
    if len(name) > _MAX_NAME:
        return ""
    near = sorted(
        (distance, other) for other in candidates if (distance := _edits(name, other)) <= _MAX_EDITS
    )
    close = [other for _, other in near]
    return f" Did you mean {validation_errors.quoted_list(close, 'or')}?" if close else ""


def _edits(a: str, b: str) -> int:
    """How many characters to insert, remove or replace (the Levenshtein distance); a larger number than
    `_MAX_EDITS` may be too small."""
    if abs(len(a) - len(b)) > _MAX_EDITS:
        return _MAX_EDITS + 1
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]

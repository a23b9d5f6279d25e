"""Validates a JSON body: returns a typed request, or raises the error that OpenAI would report first."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, ValidationError, model_validator
from pydantic_core import ErrorDetails

from myna.core.errors import InvalidRequest
from myna.wire import validation_errors
from myna.wire.parameters import Parameter, Use
from myna.wire.validation_errors import FIELD_ERROR, FieldError

TAG: Final = "~"
"""The first character of tags of tagged unions, which are not part of a parameter's name."""

_MAX_NAME: Final = 64
_MIN_SIMILARITY: Final = 0.75
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
    def _with_one_unknown_key(cls, value: object) -> object:
        """Keep one unknown key: pydantic creates an error for each, but only the first is reported."""
        known = cls.model_fields
        if not isinstance(value, dict) or len(value) <= len(known):
            return value
        names = {field.alias or name for name, field in known.items()}
        unknown = next(key for key in value if key not in names)
        return {key: entry for key, entry in value.items() if key in names or key == unknown}


class TypedModel(WireModel):
    """An object whose `type` may name the key that has the details."""

    @model_validator(mode="after")
    def _require_key_of_type(self) -> Self:
        kind = getattr(self, "type", "")
        if kind in type(self).model_fields and getattr(self, kind) is None:
            raise validation_errors.missing().in_validator(kind)
        return self


M = TypeVar("M", bound=WireModel)


def validate(schema: type[M], body: Mapping[str, object], parameters: Mapping[str, Parameter]) -> M:
    """The typed request. Raises `InvalidRequest` for the first error.

    Checks required parameters, then unknown names, then the fields in the schema's order, then parameters
    that this server rejects by name.
    """
    for name, parameter in parameters.items():
        if parameter.is_required and name not in body:
            raise validation_errors.missing().at_param(name)
    for name in body:
        if name not in parameters:
            raise validation_errors.unknown(hint=_suggestion(name, parameters.keys() - body.keys())).at_param(
                name
            )
    read = {name: value for name, value in body.items() if parameters[name].use is not Use.REJECTED}
    try:
        request = schema.model_validate(read)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]  # there are few: lists stop at their first error
    else:
        reject_unsupported(body, parameters)
        return request
    raise _to_invalid_request(first)


def reject_unsupported(body: Mapping[str, object], parameters: Mapping[str, Parameter]) -> None:
    """Raise for the first unsupported parameter whose value is not one of its `allowed` ones."""
    for name, parameter in parameters.items():
        if parameter.use is Use.REJECTED and name in body and body[name] not in parameter.allowed:
            if parameter.error_text:
                raise InvalidRequest(parameter.error_text, param=name)
            raise validation_errors.unsupported().at_param(name)


def _to_invalid_request(error: ErrorDetails) -> InvalidRequest:
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
    if len(name) > _MAX_NAME:
        return ""
    close = difflib.get_close_matches(name, sorted(candidates), cutoff=_MIN_SIMILARITY)
    return f" Did you mean {validation_errors.quoted_list(sorted(close), 'or')}?" if close else ""

"""From a JSON body to a typed request, or to the one fault that OpenAI would report first."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, ValidationError, model_validator
from pydantic_core import ErrorDetails

from myna.core.errors import InvalidRequest
from myna.wire import validation_errors
from myna.wire.parameters import Parameter, Use
from myna.wire.validation_errors import FAULT, FieldError

TAG: Final = "~"
"""First character of the tags of tagged unions; they are no part of a parameter's name."""

_LONGEST_NAME: Final = 64
_CLOSE: Final = 0.75
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
    """pydantic's own can't be hashed, which unions of annotated types need."""

    def __hash__(self) -> int:
        return hash(self.fail_fast)


T = TypeVar("T")
Items: TypeAlias = Annotated[list[T], _StopAtFirst()]
"""A list whose validation stops at the first wrong element."""


class WireModel(BaseModel):
    """A request object: its fields stand in the order in which OpenAI checks them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _with_one_unknown_key(cls, value: object) -> object:
        """pydantic makes an error of each unknown key; only the first is reported."""
        known = cls.model_fields
        if not isinstance(value, dict) or len(value) <= len(known):
            return value
        names = {field.alias or name for name, field in known.items()}
        unknown = next(key for key in value if key not in names)
        return {key: entry for key, entry in value.items() if key in names or key == unknown}


class TypedModel(WireModel):
    """An object whose `type` may name the one of its keys that holds the rest."""

    @model_validator(mode="after")
    def _has_what_its_type_says(self) -> Self:
        kind = getattr(self, "type", "")
        if kind in type(self).model_fields and getattr(self, kind) is None:
            raise validation_errors.missing().in_validator(kind)
        return self


M = TypeVar("M", bound=WireModel)


def validate(schema: type[M], body: Mapping[str, object], parameters: Mapping[str, Parameter]) -> M:
    """The typed request, or `InvalidRequest` for the first fault.

    First what is required, then unknown names, then the fields in the schema's order, then what
    this server refuses by name.
    """
    for name, parameter in parameters.items():
        if parameter.is_required and name not in body:
            raise validation_errors.missing().at_param(name)
    for name in body:
        if name not in parameters:
            raise validation_errors.unknown(
                hint=_spelling_help(name, parameters.keys() - body.keys())
            ).at_param(name)
    read = {name: value for name, value in body.items() if parameters[name].use is not Use.REFUSED}
    try:
        request = schema.model_validate(read)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]  # few were made: lists stop at their first
    else:
        refuse(body, parameters)
        return request
    raise _translated(first)


def refuse(body: Mapping[str, object], parameters: Mapping[str, Parameter]) -> None:
    """Raise for the first parameter that this server doesn't have and that asks for something."""
    for name, parameter in parameters.items():
        if parameter.use is Use.REFUSED and name in body and body[name] not in parameter.neutral:
            if parameter.refusal:
                raise InvalidRequest(parameter.refusal, param=name)
            raise validation_errors.unsupported().at_param(name)


def _translated(error: ErrorDetails) -> InvalidRequest:
    place = place_of(error["loc"])
    match error["type"]:
        case kind if kind == FAULT:
            fault: FieldError = error["ctx"]["fault"]
            return fault.at_param(place)
        case "missing":
            return validation_errors.missing().at_param(place)
        case "extra_forbidden":
            return validation_errors.unknown().at_param(place)
        case kind:
            return validation_errors.invalid_type(_NOUNS[kind], error["input"]).at_param(place)


def place_of(loc: Sequence[str | int]) -> str:
    """`messages[1].content[0].text` for pydantic's ("messages", 1, "content", 0, "text")."""
    place = ""
    for step in loc:
        if isinstance(step, int):
            place += f"[{step}]"
        elif not step.startswith(TAG):
            place += f".{step}" if place else step
    return place


def _spelling_help(name: str, candidates: set[str]) -> str:
    if len(name) > _LONGEST_NAME:
        return ""
    close = difflib.get_close_matches(name, sorted(candidates), cutoff=_CLOSE)
    return f" Did you mean {validation_errors.either(sorted(close), 'or')}?" if close else ""

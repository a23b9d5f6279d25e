"""From a JSON body to a typed request, or to the one fault that OpenAI would report first."""

from collections.abc import Mapping, Sequence
from typing import Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from myna.core.errors import InvalidRequest
from myna.serving import faults
from myna.serving.faults import FAULT, Fault
from myna.serving.parameters import Parameter, Use

TAG: Final = "~"
"""First character of the tags of tagged unions; they are no part of a parameter's name."""

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


class WireModel(BaseModel):
    """A request object: its fields stand in the order in which OpenAI checks them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TypedModel(WireModel):
    """An object whose `type` may name the one of its keys that holds the rest."""

    @model_validator(mode="after")
    def _has_what_its_type_says(self) -> Self:
        kind = getattr(self, "type", "")
        if kind in type(self).model_fields and getattr(self, kind) is None:
            raise faults.missing().inside(kind)
        return self


M = TypeVar("M", bound=WireModel)


def validate(schema: type[M], body: Mapping[str, object], parameters: Mapping[str, Parameter]) -> M:
    """The typed request, or `InvalidRequest` for the first fault.

    First what is required, then unknown names, then the fields in the schema's order, then what
    this server refuses by name.
    """
    for name, parameter in parameters.items():
        if parameter.is_required and name not in body:
            raise faults.missing().at(name)
    for name in body:
        if name not in parameters:
            raise faults.unknown(hint=_spelling_help(name, parameters.keys() - body.keys())).at(name)
    read = {name: value for name, value in body.items() if parameters[name].use is not Use.REFUSED}
    try:
        request = schema.model_validate(read)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
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
            raise faults.unsupported().at(name)


def _translated(error: ErrorDetails) -> InvalidRequest:
    place = place_of(error["loc"])
    match error["type"]:
        case kind if kind == FAULT:
            fault: Fault = error["ctx"]["fault"]
            return fault.at(place)
        case "missing":
            return faults.missing().at(place)
        case "extra_forbidden":
            return faults.unknown().at(place)
        case kind:
            return faults.invalid_type(_NOUNS[kind], error["input"]).at(place)


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
    limit = max(1, len(name) // 4)
    distances = {known: _edits(name, known) for known in candidates if abs(len(known) - len(name)) <= limit}
    nearest = min(distances.values(), default=limit + 1)
    if nearest > limit:
        return ""
    close = sorted(known for known, distance in distances.items() if distance == nearest)
    return f" Did you mean {faults.either(close, 'or')}?"


def _edits(a: str, b: str) -> int:
    """Levenshtein distance."""
    previous = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        current = [i]
        for j, other in enumerate(b, 1):
            change = previous[j - 1] + (letter != other)
            current.append(min(previous[j] + 1, current[-1] + 1, change))
        previous = current
    return previous[-1]

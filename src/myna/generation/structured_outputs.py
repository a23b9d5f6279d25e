"""The format of an answer that a request asks for in the fields of other servers. Pure."""

from collections.abc import Mapping
from typing import Any, Protocol

from myna.core.constraints import LarkGrammar, Origin, Regex, TextChoice
from myna.core.errors import InvalidRequest
from myna.generation.tool_choice import Answer, AnswerFormat
from myna.wire.structured_outputs import StructuredOutputs


class StructuredFields(Protocol):
    """The fields of a request; None where it doesn't have them."""

    @property
    def structured_outputs(self) -> StructuredOutputs | None: ...
    @property
    def guided_json(self) -> Mapping[str, Any] | None: ...
    @property
    def guided_regex(self) -> str | None: ...
    @property
    def guided_choice(self) -> tuple[str, ...] | None: ...
    @property
    def guided_grammar(self) -> str | None: ...


def structured_answer(fields: StructuredFields) -> Answer | None:
    """The format, if one is requested. Raises `InvalidRequest` for several."""
    formats = list(_formats(fields).items())
    if len(formats) > 1:
        raise InvalidRequest(
            f"Setting '{formats[0][0]}' and '{formats[1][0]}' at the same time is not supported.",
            param=formats[1][0],
            code="invalid_parameter_combination",
        )
    return formats[0][1] if formats else None


def _formats(fields: StructuredFields) -> dict[str, Answer]:
    """The formats by the parameters that request them."""
    formats: dict[str, Answer] = {}
    sources: list[tuple[str, Mapping[str, Any] | None, str | None, tuple[str, ...] | None, str | None]] = [
        ("guided_{}", fields.guided_json, fields.guided_regex, fields.guided_choice, fields.guided_grammar)
    ]
    if (nested := fields.structured_outputs) is not None:
        sources.append(("structured_outputs.{}", nested.json_, nested.regex, nested.choice, nested.grammar))
        if nested.json_object:
            formats["structured_outputs.json_object"] = AnswerFormat("structured_outputs.json_object")
    for names, schema, regex, choice, grammar in sources:
        if schema is not None:
            param = names.format("json")
            formats[param] = AnswerFormat(param, "json", schema)
        if regex is not None:
            param = names.format("regex")
            formats[param] = Regex(regex, _origin(param))
        if choice is not None:
            formats[names.format("choice")] = TextChoice(choice)
        if grammar is not None:
            param = names.format("grammar")
            formats[param] = LarkGrammar(grammar, _origin(param))
    return formats


def _origin(param: str) -> Origin:
    return Origin(f"Invalid '{param}'", param, "invalid_value")

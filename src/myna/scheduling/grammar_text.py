"""Translates a request's constraint into llguidance's grammar format, and attributes errors to its parts.
Pure."""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from myna.core.constraints import (
    AnyText,
    CallableTool,
    Constraint,
    FinalChannel,
    JsonObject,
    JsonSchema,
    LarkGrammar,
    NoToolCalls,
    Origin,
    Regex,
    TextChoice,
    ToolCalls,
)
from myna.core.errors import ConstraintTooComplex, InvalidRequest
from myna.decoding.grammar import check, regex_grammar
from myna.prompts.call_formats.json_style import WHITE_SPACE
from myna.prompts.call_formats.marked import TEXT_RULE
from myna.prompts.call_formats.table import FORMATS
from myna.prompts.closed_schema import MAX_NESTING, closed, is_too_deep
from myna.prompts.enforceable_schema import (
    MAX_SCHEMA_CHARS,
    enforceable,
    max_optional,
    max_patterns,
    num_alternatives,
    num_properties,
)
from myna.prompts.harmony_grammar import final_channel
from myna.prompts.tools import NO_PARAMETERS

T = TypeVar("T")

_NO_SCHEMA: Final = "Please ensure it is a valid JSON Schema."
# Compile time grows with the square of these; each limit is about one or two seconds.
_MAX_LARK_CHARS: Final = 64 << 10
_MAX_PROPERTIES: Final = 5000
# Per object: the time grows with the square of these, to more than 2 s for 5,000. llguidance rejects such an
# object anyway, from about 500 consecutive ones on.
_MAX_OPTIONAL: Final = 1000
# Keywords that may contradict others.
_CONFLICTING: Final = ('"allOf"', '"minItems"', '"minLength"', '"minProperties"', '"maxProperties"')
_MAX_ALTERNATIVES: Final = 10_000  # of a value: the time grows with the number
_MAX_PATTERNS: Final = 64  # per object: the time grows with the cube of these, to more than 5 s for 500


def compile_constraint(constraint: Constraint, compile_text: Callable[[str], T]) -> T:
    """The result of `compile_text` for the constraint's grammar. Raises `InvalidRequest` for the part of the
    request that caused the error."""
    text = grammar_text(constraint)
    try:
        return compile_text(text)
    except InvalidRequest as error:
        raise with_origin(constraint, error) from error


def grammar_text(constraint: Constraint) -> str:
    """Raises `InvalidRequest` for a part that can't be parsed, naming its origin in the request."""
    for length, most in zip(_lengths(constraint), (MAX_SCHEMA_CHARS, _MAX_LARK_CHARS), strict=True):
        if length > most:
            raise with_origin(constraint, ConstraintTooComplex(f"It is longer than {most} characters."))
    match constraint:
        case JsonSchema():
            return _schema_grammar(_enforceable(constraint), is_strict=constraint.is_strict)
        case JsonObject():
            return _schema_grammar({"type": "object"}, is_strict=True)
        case Regex(pattern):
            return regex_grammar(pattern)
        case TextChoice(options):
            return _lark(f"start: {' | '.join(map(json.dumps, options))}\n")
        case LarkGrammar(definition):
            return _lark(definition)
        case AnyText():
            return _lark(f"start: TEXT\n{TEXT_RULE}")
        case NoToolCalls(name):
            return FORMATS[name].no_call_grammar()
        case ToolCalls():
            return _calls_grammar(constraint)
        case FinalChannel(answer):
            return final_channel(grammar_text(answer))


def prefixes(constraint: Constraint) -> Iterator[tuple[str, Constraint]]:
    """Texts with which an answer may begin, each with the part of the constraint that governs what
    follows."""
    if isinstance(constraint, ToolCalls):
        form = FORMATS[constraint.format]
        yield from ((form.call_head(tool), _alone(tool)) for tool in constraint.tools)


def with_origin(constraint: Constraint, error: InvalidRequest) -> InvalidRequest:
    """A compile error of the constraint as an error about the part of the request it comes from."""
    match constraint:
        case JsonSchema(origin=origin) if not isinstance(error, ConstraintTooComplex):
            return origin.error(f"{error.message} {_NO_SCHEMA}")
        case JsonSchema(origin=origin) | Regex(origin=origin) | LarkGrammar(origin=origin):
            return origin.error(error.message, type(error))
        case ToolCalls():
            return _with_part_origin(constraint, error)
        case FinalChannel(answer):
            return with_origin(answer, error)
        case _:
            return error


def _with_part_origin(constraint: ToolCalls, error: InvalidRequest) -> InvalidRequest:
    """Check each part alone; if only their combination fails, attribute the error to all tools."""
    parts = [_alone(tool) for tool in constraint.tools]
    if isinstance(constraint.answer, JsonSchema):
        parts.append(constraint.answer)
    if len(parts) == 1:
        return with_origin(parts[0], error)
    for part in () if isinstance(error, ConstraintTooComplex) else parts:
        text = grammar_text(part)
        try:
            check(text)
        except InvalidRequest as exc:
            return with_origin(part, exc)
    return Origin("The tools can't be put into one grammar", "tools").error(error.message, type(error))


def _alone(tool: CallableTool) -> JsonSchema | LarkGrammar:
    """The constraint on a tool's input alone."""
    if tool.kind == "grammar":
        return LarkGrammar(tool.grammar, tool.origin)
    return JsonSchema(tool.parameters or NO_PARAMETERS, tool.is_strict, tool.name, tool.origin)


def _lengths(constraint: Constraint) -> tuple[int, int]:
    """The total length, in characters, of schemas and other texts, and of Lark grammars."""
    match constraint:
        case JsonSchema(text) | Regex(text):
            return len(text), 0
        case LarkGrammar(text):
            return 0, len(text)
        case TextChoice(options):
            return sum(map(len, options)), 0
        case ToolCalls(tools=tools, answer=answer):
            schemas = [tool.parameters for tool in tools]
            schemas += [answer.schema] if isinstance(answer, JsonSchema) else []
            return sum(map(len, schemas)), sum(len(tool.grammar) for tool in tools)
        case FinalChannel(answer):
            return _lengths(answer)
        case _:
            return 0, 0


def _calls_grammar(constraint: ToolCalls) -> str:
    answer = None
    if constraint.answer is not None:
        schema = constraint.answer
        answer = {"type": "object"} if isinstance(schema, JsonObject) else _enforceable(schema)
    tools = [_enforceable_tool(tool) for tool in constraint.tools]
    try:
        return FORMATS[constraint.format].grammar(
            tools, must_call=constraint.is_required, is_parallel=constraint.is_parallel, answer=answer
        )
    except InvalidRequest as error:
        raise _with_part_origin(constraint, error) from error


def _enforceable_tool(tool: CallableTool) -> CallableTool:
    if tool.kind == "grammar":
        return tool
    schema = _enforceable(JsonSchema(tool.parameters or NO_PARAMETERS, tool.is_strict, origin=tool.origin))
    return replace(tool, parameters=json.dumps(schema, ensure_ascii=False))


def _enforceable(constraint: JsonSchema) -> dict[str, Any]:
    """The schema as the grammar uses it. Raises `InvalidRequest` if it isn't a schema, or if it is strict and
    can't be enforced completely."""
    origin = constraint.origin
    try:
        schema = json.loads(constraint.schema)
    except (ValueError, RecursionError) as exc:
        raise origin.error(_NO_SCHEMA) from exc
    if not isinstance(schema, dict):
        raise origin.error(_NO_SCHEMA)
    if is_too_deep(schema):
        raise origin.error(f"It is nested more than {MAX_NESTING} levels deep.", ConstraintTooComplex)
    if reason := _excess(schema):
        raise origin.error(reason, ConstraintTooComplex)
    result, unenforced = enforceable(schema, _why_not)
    if constraint.is_strict and unenforced:
        first = unenforced[0]
        raise origin.error(f"In context={first.path!r}, '{first.keyword}' can't be enforced: {first.reason}.")
    if any(keyword in constraint.schema for keyword in _CONFLICTING):
        reason = _why_not({**result, "x-guidance": {"lenient": True}})
        if reason:  # nothing conforms to it; in some forms of calls nobody would notice
            raise origin.error(f"{reason} {_NO_SCHEMA}")
    return dict(result)


def _excess(schema: dict[str, Any]) -> str:
    """Why compiling the schema would take too long; empty if it wouldn't."""
    if num_properties(schema) > _MAX_PROPERTIES:
        return f"It has more than {_MAX_PROPERTIES} properties."
    if max_optional(schema) > _MAX_OPTIONAL:
        return f"One of its objects has more than {_MAX_OPTIONAL} properties that aren't required."
    if max_patterns(schema) > _MAX_PATTERNS:
        return f"One of its objects has more than {_MAX_PATTERNS} patternProperties."
    if num_alternatives(schema) > _MAX_ALTERNATIVES:
        return f"A value has more than {_MAX_ALTERNATIVES} alternatives."
    return ""


def _schema_grammar(schema: dict[str, Any], *, is_strict: bool) -> str:
    options = {"whitespace_pattern": WHITE_SPACE, "lenient": not is_strict}
    whole = {**closed(schema), "x-guidance": options}
    return json.dumps({"grammars": [{"json_schema": whole}]}, ensure_ascii=False)


def _why_not(schema: dict[str, Any]) -> str:
    """Why the schema can't be enforced; empty if it can be."""
    return _fault(json.dumps(schema))


@lru_cache(maxsize=128)
def _fault(schema: str) -> str:
    try:
        check(f'{{"grammars": [{{"json_schema": {schema}}}]}}')
    except InvalidRequest as exc:
        return exc.message
    return ""


def _lark(definition: str) -> str:
    return json.dumps({"grammars": [{"lark_grammar": definition}]}, ensure_ascii=False)

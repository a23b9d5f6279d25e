"""Constraints become grammars, or errors that name the part of the request they came from."""

import json
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from myna.core.constraints import (
    CallableTool,
    Constraint,
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
from myna.decoding.grammar import check
from myna.scheduling.grammar_text import compile_constraint, grammar_text

ORIGIN = Origin("Invalid schema for response_format 'x'", "response_format", "a code")
EMAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"


def schema(value: Any, *, is_strict: bool = False) -> JsonSchema:
    return JsonSchema(json.dumps(value), is_strict, "x", ORIGIN)


def an_object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def allows(constraint: Constraint, text: str) -> bool:
    tokenizer = LLTokenizer("byte")
    matcher = LLMatcher(tokenizer, grammar_text(constraint))
    tokens = tokenizer.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize(
    ("constraint", "right", "wrong"),
    [
        (schema(an_object(a={"type": "integer"})), '{"a": 5}', '{"a": "5"}'),
        (JsonObject(), '{"b": []}', "[]"),
        (Regex("[a-c]+/[0-9]"), "ab/7", "ab/"),
        (TextChoice(("yes", 'a "b"', "你好\\")), "你好\\", "no"),
        (TextChoice(("yes", 'a "b"', "你好\\")), 'a "b"', "yesyes"),
        (LarkGrammar("start: A+\nA: /[ab]/"), "abba", "abc"),
        (NoToolCalls("hermes"), "hello", "a <tool_call>"),
    ],
)
def test_each_kind_becomes_its_grammar(constraint: Constraint, right: str, wrong: str) -> None:
    assert allows(constraint, right)
    assert not allows(constraint, wrong)


# Look-around, word boundaries, back-references and anchors that grammars don't have; then a name and an
# alternative that only the grammar's compiler refuses.
@pytest.mark.parametrize(
    "pattern",
    [EMAIL, r"\bword\b", r"\Bx", r"(a)\1", "(?=a)b", "(?<=a)b", "a$b", "(", r"\p{Nothing}", "^$|^$"],
)
def test_a_pattern_that_cant_be_enforced_is_left_to_the_model_unless_the_schema_is_strict(
    pattern: str,
) -> None:
    value = an_object(a={"type": "string", "pattern": pattern}, b={"type": "integer"})
    loose = schema(value)
    check(grammar_text(loose))
    assert allows(loose, '{"a": "anything", "b": 1}')
    assert not allows(loose, '{"a": "anything", "b": "the rest is held"}')
    with pytest.raises(InvalidRequest) as caught:
        compile_constraint(schema(value, is_strict=True), check)
    assert (caught.value.param, caught.value.code) == ("response_format", "a code")
    assert caught.value.message.startswith(
        "Invalid schema for response_format 'x': In context=('properties', 'a'), 'pattern' can't be enforced:"
    )


def test_a_pattern_that_can_be_enforced_still_is() -> None:
    value = an_object(a={"type": "string", "pattern": "^[0-9]+$"}, b={"type": "string", "pattern": EMAIL})
    assert not allows(schema(value), '{"a": "x", "b": "x"}')


def test_words_that_only_look_like_keywords_are_kept() -> None:
    value = an_object(pattern={"const": {"pattern": "(?=a)"}}, description={"enum": ["description"]})
    assert allows(schema(value), '{"pattern": {"pattern": "(?=a)"}, "description": "description"}')


def test_patterns_of_names_that_cant_be_enforced_leave_the_names_open() -> None:
    value = {"type": "object", "patternProperties": {"(?=a)": {}}, "additionalProperties": False}
    assert allows(schema(value), '{"any": 1}')


def test_overlapping_patterns_of_names_leave_the_names_open_unless_the_schema_is_strict() -> None:
    value = {"patternProperties": {"^a": {"type": "integer"}, "b$": {}}, "additionalProperties": False}
    loose = schema(an_object(x={"type": "object", **value}, y={"const": 1}))
    assert allows(loose, '{"x": {"ab": "any"}, "y": 1}')
    assert not allows(loose, '{"x": {}, "y": 2}')
    with pytest.raises(InvalidRequest, match=r"'patternProperties' can't be enforced: .*not disjoint"):
        compile_constraint(schema(an_object(x=value), is_strict=True), check)


@pytest.mark.parametrize(
    ("value", "keyword"),
    [
        ({"type": "array", "items": {}, "uniqueItems": True}, "uniqueItems"),
        ({"type": "string", "format": "regex"}, "format"),
        ({"type": "string", "pattern": r"\b"}, "pattern"),
    ],
)
def test_a_strict_tool_names_what_cant_be_enforced(value: dict[str, Any], keyword: str) -> None:
    calls = ToolCalls("hermes", (tool(0, an_object(a=value)), tool(1, an_object(a=value), is_strict=True)))
    with pytest.raises(InvalidRequest) as caught:
        compile_constraint(calls, check)
    assert caught.value.param == "tools[1].function.parameters"
    assert caught.value.message.startswith(
        f"Invalid schema for function 'f1': In context=('properties', 'a'), '{keyword}' can't be enforced: "
    )
    compile_constraint(ToolCalls("hermes", calls.tools[:1]), check)


def tool(i: int, value: Any, *, is_strict: bool = False) -> CallableTool:
    place = f"tools[{i}].function.parameters"
    origin = Origin(f"Invalid schema for function 'f{i}'", place, "invalid_function_parameters")
    return CallableTool(f"f{i}", json.dumps(value), is_strict, origin=origin)


def test_one_tools_pattern_doesnt_cost_the_others() -> None:
    tools = (tool(0, an_object(a={"type": "string", "pattern": EMAIL})), tool(1, an_object(b={"const": 1})))
    calls = ToolCalls("bare", tools, is_required=True)
    assert allows(calls, '{"name": "f0", "arguments": {"a": "x"}}')
    assert not allows(calls, '{"name": "f1", "arguments": {"b": 2}}')


@pytest.mark.parametrize(
    "bad", [an_object(a={"type": "nonsense"}), an_object(a={"$ref": "#/nowhere"})], ids=["type", "reference"]
)
def test_the_tool_that_cant_be_used_is_named(bad: dict[str, Any]) -> None:
    calls = ToolCalls("hermes", (tool(0, an_object()), tool(1, bad), tool(2, an_object())))
    with pytest.raises(InvalidRequest) as caught:
        compile_constraint(calls, check)
    assert (caught.value.param, caught.value.code) == (
        "tools[1].function.parameters",
        "invalid_function_parameters",
    )
    assert caught.value.message.startswith("Invalid schema for function 'f1': The grammar can't be followed:")
    assert caught.value.message.endswith(" Please ensure it is a valid JSON Schema.")


def test_the_answers_schema_is_named_besides_tools() -> None:
    calls = ToolCalls("hermes", (tool(0, an_object()),), answer=schema({"type": "nonsense"}))
    with pytest.raises(InvalidRequest) as caught:
        compile_constraint(calls, check)
    assert caught.value.param == "response_format"


def test_tools_that_are_too_much_together_are_named_together() -> None:
    many = an_object(**{"p" * 50 + str(i): {"type": "string"} for i in range(90)})
    calls = ToolCalls("hermes", tuple(tool(i, many) for i in range(64)))
    with pytest.raises(ConstraintTooComplex) as caught:
        compile_constraint(calls, check)
    assert caught.value.param == "tools"


@pytest.mark.parametrize(
    "text",
    ["[1", "5", "[" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000],
    ids=["broken", "number", "deep list", "deep object"],
)
def test_what_is_not_a_schema_is_refused_without_recursion(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        grammar_text(JsonSchema(text, origin=ORIGIN))
    assert caught.value.param == "response_format"


@pytest.mark.parametrize(
    "constraint",
    [
        schema(an_object(**{f"p{i}": {} for i in range(5001)})),
        schema({"items": {"properties": {f"p{i}": {} for i in range(1001)}}}),
        schema({"patternProperties": {f"^p{i}[a-z]*$": {} for i in range(65)}}),
        schema({"items": [{"patternProperties": {f"^{i}$": {} for i in range(60)}}] * 84}),
        schema({"allOf": [{"anyOf": [{"const": i} for i in range(10)]}] * 5}),
        schema({"const": "x" * (1 << 20)}),
        LarkGrammar('start: "' + "x" * (1 << 16) + '"', ORIGIN),
    ],
    ids=[
        "properties",
        "optional properties",
        "patterns",
        "many patterns",
        "alternatives",
        "constant",
        "lark",
    ],
)
def test_what_takes_long_to_read_is_refused_before(constraint: Constraint) -> None:
    with pytest.raises(ConstraintTooComplex) as caught:
        grammar_text(constraint)
    assert caught.value.param == "response_format"


@pytest.mark.parametrize("form", ["hermes", "qwen3-coder", "gemma-4"])
@pytest.mark.parametrize(
    "part",
    [
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array", "minItems": 3, "maxItems": 2},
        {"type": "object", "additionalProperties": {}, "minProperties": 2, "maxProperties": 1},
    ],
)
def test_a_schema_to_which_nothing_conforms_is_refused_in_every_form(form: str, part: dict[str, Any]) -> None:
    calls = ToolCalls(
        form, (tool(0, an_object(a={"const": 1})), tool(1, an_object(a=part))), is_required=True
    )
    with pytest.raises(InvalidRequest, match=r"'f1': .*nsatisfiable") as caught:
        compile_constraint(calls, check)
    assert caught.value.param == "tools[1].function.parameters"


def test_many_properties_are_fine_if_they_are_required() -> None:
    grammar_text(schema(an_object(**{f"p{i}": {} for i in range(5000)})))

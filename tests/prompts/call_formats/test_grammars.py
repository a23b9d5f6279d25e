"""What each call format's grammar lets through: what its `write` writes, and no violation of a schema."""

import json

import pytest
from tests.prompts.call_formats.written import (
    CALLS,
    FEW,
    LONG,
    NONE,
    ONE,
    TOOLS,
    TWO,
    allows,
    model_text,
    read,
    same,
    summed,
    written,
)

from myna.core.conversation import ToolSpec
from myna.decoding.grammar import check
from myna.prompts.call_formats.json_style import moved
from myna.prompts.call_formats.table import FORMATS
from myna.prompts.custom_input import grammar_tool, text_tool

ANSWER = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
HERMES = FORMATS["hermes"]
SINGLE = {"bare", "parameters", "gigachat", "gigachat-3.1"}
PLAIN = [name for name in FORMATS if name not in ("harmony", "functionary-3.2")]  # whose text has no header
SEVERAL = [name for name in FORMATS if name not in SINGLE]


@pytest.mark.parametrize("name", FORMATS)
def test_a_required_call_is_of_a_declared_tool_with_arguments_that_follow_its_schema(name: str) -> None:
    form = FORMATS[name]
    grammar = form.grammar(TOOLS, must_call=True, is_parallel=True)
    check(grammar)
    for call in CALLS:
        assert allows(grammar, model_text(form, call)), call
    for wrong in (
        ("sub", '{"a": 5}'),
        ("add", '{"a": "x"}'),
        ("add", "{}"),
        ("add", '{"a": 5, "b": 6}'),
        ("chain", '{"head": {}}'),
        ("now", '{"a":1}'),
        ("send", '{"to": "a"}'),
        ("send", '{"to": "a", "text": "b", "unit": "K"}'),
        ("send", '{"to": "a", "text": "b", "urgent": "yes"}'),
        ("send", '{"to": "a", "text": "b", "tags": "x"}'),
        ("send", '{"to": "a", "text": "b", "size": "big"}'),
    ):
        assert not allows(grammar, model_text(form, wrong)), wrong
    assert not allows(grammar, "hello")


@pytest.mark.parametrize("name", PLAIN)
def test_an_answer_that_may_call_may_also_be_text(name: str) -> None:
    form = FORMATS[name]
    grammar = form.grammar(TOOLS, must_call=False, is_parallel=True)
    check(grammar)
    for text in ("", "hello\nworld", "你好 👋🏽", model_text(form, ONE), model_text(form, LONG)):
        assert allows(grammar, text), text
    assert not allows(grammar, model_text(form, ("sub", "{}")))
    assert not allows(grammar, model_text(form, ("add", '{"a": "x"}')))
    assert allows(grammar, "Sure.\n" + model_text(form, ONE))


@pytest.mark.parametrize("name", PLAIN)
def test_a_schema_for_the_answer_leaves_calls_possible(name: str) -> None:
    form = FORMATS[name]
    grammar = form.grammar(TOOLS, must_call=False, is_parallel=True, answer=ANSWER)
    check(grammar)
    assert allows(grammar, '{"name": "add", "age": 5}')
    assert allows(grammar, model_text(form, TWO))
    assert not allows(grammar, "hello")


@pytest.mark.parametrize("name", SEVERAL)
def test_several_calls_are_possible_unless_they_are_not_wanted(name: str) -> None:
    form = FORMATS[name]
    text = model_text(form, ONE, LONG, NONE, FEW)
    assert allows(form.grammar(TOOLS, must_call=True, is_parallel=True), text)
    assert allows(form.grammar(TOOLS, must_call=False, is_parallel=True), text)
    assert not allows(form.grammar(TOOLS, must_call=True, is_parallel=False), text)


@pytest.mark.parametrize("name", PLAIN)
def test_a_model_that_may_call_none_can_only_write_text(name: str) -> None:
    grammar = FORMATS[name].no_call_grammar()
    check(grammar)
    for text in ("", "hello <tool\nworld", "你好"):
        assert allows(grammar, text), text
    assert not allows(grammar, model_text(FORMATS[name], ONE))


@pytest.mark.parametrize("name", FORMATS)
def test_as_many_tools_as_openai_takes_are_within_a_grammars_limits(name: str) -> None:
    tools = [ToolSpec(f"tool_{i}", "", TOOLS[1].parameters) for i in range(128)]
    check(FORMATS[name].grammar(tools, must_call=False, is_parallel=True))


@pytest.mark.parametrize("parameters", ['{"type":"object","properties":{}}', ""])
@pytest.mark.parametrize("name", FORMATS)
def test_a_tool_without_parameters_is_called_without_arguments(name: str, parameters: str) -> None:
    form = FORMATS[name]
    grammar = form.grammar([ToolSpec("now", "", parameters)], must_call=True, is_parallel=False)
    assert allows(grammar, model_text(form, NONE))
    assert not allows(grammar, model_text(form, ("now", '{"made": "up"}')))


@pytest.mark.parametrize("name", FORMATS)
def test_arguments_of_an_open_schema_are_free(name: str) -> None:
    form = FORMATS[name]
    anything = ToolSpec("any", "", '{"type": "object"}')
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": True}
    extended = ToolSpec("more", "", json.dumps(schema))
    grammar = form.grammar([anything, extended], must_call=True, is_parallel=False)
    for call in (("any", "{}"), ("any", '{"x": "y", "n": 5}'), ("more", '{"a": 1, "b": "c"}')):
        assert allows(grammar, model_text(form, call)), call
    assert not allows(grammar, model_text(form, ("more", '{"a": "x"}')))


NOTE = text_tool("note", "")
SUM = grammar_tool("sum", "", "lark", 'start: N ("+" N)*\nN: /[0-9]+/')
NOTE_CALL = ("note", '{"input": "a \\"b\\""}')


@pytest.mark.parametrize("must_call", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_a_custom_tool_is_called_with_text_or_by_its_grammar(name: str, must_call: bool) -> None:
    form = FORMATS[name]
    grammar = form.grammar([*TOOLS, NOTE, SUM], must_call=must_call, is_parallel=True)
    head = form.call_head(SUM)
    assert allows(grammar, model_text(form, NOTE_CALL))
    assert allows(grammar, head + "1+22+3")
    assert not allows(grammar, head + "1+")
    assert not allows(grammar, model_text(form, ("sum", '{"input": "1"}')))
    assert not allows(grammar, model_text(form, ("note", '{"text": "a"}')))
    assert allows(form.grammar([SUM], must_call=True, is_parallel=True), head + "5")


def test_an_input_by_grammar_may_follow_another_call() -> None:
    grammar = HERMES.grammar([*TOOLS, SUM], must_call=True, is_parallel=True)
    assert allows(grammar, model_text(HERMES, NONE) + "\n" + HERMES.call_head(SUM) + "7")


def test_references_move_with_their_schema() -> None:
    assert moved({"$ref": "#"}, "/a") == {"$ref": "#/a"}
    assert moved([{"x": {"$ref": "#/$defs/y"}}, {"$ref": "http://z"}], "/a") == [
        {"x": {"$ref": "#/a/$defs/y"}},
        {"$ref": "http://z"},
    ]


LOOSE = [
    '{"name": "add", "arguments": {"a": 5}}',
    'Sure:\n```json\n{\n  "name": "add",\n  "arguments": {\n    "a": 5\n  }\n}\n```',
    '\n```json\n{"name": "add", "arguments": {"a": 5}}```',
    'Sure:\n<tools>\n{"name": "add", "arguments": {"a": 5}}\n</tools>',
]


@pytest.mark.parametrize("text", LOOSE)
def test_a_small_models_untagged_call_follows_the_schema(text: str) -> None:
    grammar = HERMES.grammar(TOOLS, must_call=False, is_parallel=True)
    assert allows(grammar, text)
    assert not allows(grammar, text.replace("5", '"x"'))


def test_an_untagged_call_ends_and_has_limited_white_space() -> None:
    grammar = HERMES.grammar(TOOLS, must_call=False, is_parallel=True)
    for call in ('{"name": "add", "arguments": {"a": 5}%s}', '{"name": "add", "arguments":%s{"a": 5}}'):
        assert allows(grammar, call % ("\n" * 40))
        assert not allows(grammar, call % ("\n" * 41))


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"age": 5}\n```',
        '{"age": 5} <tool',
        '```json {"name": "sub", "x',
        '<tools>\n{"type": "function"}\n</tools>',
        "In <tools> are ",
    ],
)
def test_a_block_of_json_that_is_not_a_call_is_allowed(text: str) -> None:
    assert allows(HERMES.grammar(TOOLS, must_call=False, is_parallel=True), text)


def test_a_property_may_refer_to_another_place_of_its_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}}
    tool = ToolSpec("f", "", json.dumps(schema))
    for form in FORMATS.values():
        grammar = form.grammar([tool], must_call=True, is_parallel=False)
        assert allows(grammar, model_text(form, ("f", '{"a": 1, "b": 2}'))), form.name
        assert not allows(grammar, model_text(form, ("f", '{"a": 1, "b": "x"}'))), form.name


@pytest.mark.parametrize("name", FORMATS)
def test_properties_may_have_any_name_and_any_schema(name: str) -> None:
    names = {"a b": {"type": "string"}, "it's": {"type": "boolean"}, "城市": {"type": "string"}, "x": True}
    schema = {"type": "object", "properties": {**names, 'p"q/r': {}}, "required": list(names)}
    arguments = json.dumps({"a b": "c d", "it's": True, "城市": "北京", "x": 3}, ensure_ascii=False)
    form = FORMATS[name]
    for more in ({}, {"additionalProperties": True}):
        tool = ToolSpec("f", "", json.dumps({**schema, **more}, ensure_ascii=False))
        grammar = form.grammar([tool], must_call=True, is_parallel=False)
        assert allows(grammar, model_text(form, ("f", arguments)))
        said, found = summed(read(form.reader([tool]), *written(form, ("f", arguments))))
        assert said == "" and same(found, [("f", arguments)])


@pytest.mark.parametrize("name", FORMATS)
def test_required_properties_are_enforced_besides_other_conditions(name: str) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {"type": "string"}},
        "required": ["a"],
        "anyOf": [{"required": ["b"]}, {"required": ["c"]}],
    }
    form, tool = FORMATS[name], ToolSpec("f", "", json.dumps(schema))
    grammar = form.grammar([tool], must_call=True, is_parallel=False)
    assert allows(grammar, model_text(form, ("f", '{"a": 1, "b": "x"}')))
    for wrong in ("{}", '{"b": "x"}', '{"a": "x", "b": "x"}'):
        assert not allows(grammar, model_text(form, ("f", wrong))), wrong

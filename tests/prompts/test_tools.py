"""Tool calls: what each family's grammar lets through, and what is read out of it at any split."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from myna.core.conversation import ToolSpec
from myna.core.renderer import ToolFormat
from myna.decoding.grammar import check
from myna.prompts.custom_input import grammar_tool, text_tool
from myna.prompts.tool_grammar import moved, no_call_grammar, tool_grammar
from myna.prompts.tool_reader import CallArguments, CallReader, CallStarted, Piece, TextPiece
from myna.prompts.tools import BARE, LISTED, NAMED_PARAMETERS, TAGGED, find_format

NODE = {
    "type": "object",
    "properties": {"值": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["值", "next"],
    "additionalProperties": False,
}
LIST = {
    "type": "object",
    "properties": {"head": {"$ref": "#/$defs/node"}},
    "required": ["head"],
    "additionalProperties": False,
    "$defs": {"node": NODE},
}
ADD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
ANSWER = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOLS = [ToolSpec("add", "", json.dumps(ADD)), ToolSpec("chain", "", json.dumps(LIST)), ToolSpec("now")]
FORMATS = [TAGGED, LISTED, NAMED_PARAMETERS, BARE]


def written(form: ToolFormat, *calls: tuple[str, str]) -> str:
    """What a model of that family writes."""
    bodies = [f'{{"name": "{name}", "{form.arguments}": {arguments}}}' for name, arguments in calls]
    return form.trigger + form.before + (form.between or "").join(bodies) + form.after


def allows(grammar: str, text: str) -> bool:
    tokenizer = LLTokenizer("byte")
    matcher = LLMatcher(tokenizer, grammar)
    tokens = tokenizer.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def read(form: ToolFormat, *texts: str) -> list[Piece]:
    reader = CallReader(form, TOOLS)
    return [piece for text in texts for piece in reader.feed(text)] + reader.end()


def summed(pieces: list[Piece]) -> tuple[str, list[tuple[str, str]]]:
    """What was said, and the calls with their whole arguments; asserts that calls don't mix."""
    said, calls = "", list[tuple[str, str]]()
    for piece in pieces:
        match piece:
            case TextPiece(text):
                said += text
            case CallStarted(index, name):
                assert index == len(calls)
                calls.append((name, ""))
            case CallArguments(index, text):
                assert text and index == len(calls) - 1
                calls[-1] = (calls[-1][0], calls[-1][1] + text)
    return said, calls


ONE = ("add", '{"a": 5}')
TWO = ("chain", '{"head": {"值": "}\\"{👋🏽", "next": {"值": "", "next": null}}}')
NONE = ("now", "{}")
CALL_TEXT = written(TAGGED, ONE)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_forced_call_is_a_call_of_a_tool_there_is_with_arguments_by_its_schema(form: ToolFormat) -> None:
    grammar = tool_grammar(form, TOOLS, must_call=True, is_parallel=True)
    check(grammar)
    for call in (ONE, TWO, NONE):
        assert allows(grammar, written(form, call)), call
    for wrong in (
        ("sub", '{"a": 5}'),
        ("add", '{"a": "x"}'),
        ("add", "{}"),
        ("chain", '{"head": {}}'),
        ("now", '{"a":1}'),
    ):
        assert not allows(grammar, written(form, wrong)), wrong
    assert not allows(grammar, "hello")


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_an_answer_that_may_call_may_also_speak(form: ToolFormat) -> None:
    grammar = tool_grammar(form, TOOLS, must_call=False, is_parallel=True)
    check(grammar)
    for text in ("", "hello\nworld", "你好 👋🏽", written(form, ONE)):
        assert allows(grammar, text), text
    assert not allows(grammar, written(form, ("sub", "{}")))
    assert allows(grammar, "Sure.\n" + written(form, ONE))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_schema_for_the_answer_leaves_calls_possible(form: ToolFormat) -> None:
    grammar = tool_grammar(form, TOOLS, must_call=False, is_parallel=True, answer=ANSWER)
    check(grammar)
    assert allows(grammar, '{"name": "add", "age": 5}')
    assert allows(grammar, written(form, TWO))
    assert not allows(grammar, "hello")


@pytest.mark.parametrize("form", [TAGGED, LISTED], ids=lambda form: form.name)
def test_several_calls_are_possible_unless_they_are_not_wanted(form: ToolFormat) -> None:
    text = written(form, ONE, TWO, ONE)
    assert allows(tool_grammar(form, TOOLS, must_call=True, is_parallel=True), text)
    assert not allows(tool_grammar(form, TOOLS, must_call=True, is_parallel=False), text)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_model_that_may_call_none_can_only_speak(form: ToolFormat) -> None:
    grammar = no_call_grammar(form)
    check(grammar)
    for text in ("", "hello <tool\nworld", "你好"):
        assert allows(grammar, text), text
    assert not allows(grammar, written(form, ONE))


SPOKEN = ["", "Sure.\n", " 你好 <tool "]


@given(st.data())
def test_calls_are_read_the_same_at_any_split(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(FORMATS))
    spoken = data.draw(st.sampled_from(SPOKEN)) if form.trigger else ""
    most = 3 if form.between else 1
    calls = data.draw(st.lists(st.sampled_from([ONE, TWO, NONE]), min_size=1, max_size=most))
    text = spoken + written(form, *calls)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert summed(read(form, *parts)) == (spoken, calls)
    assert summed(read(form, *text)) == (spoken, calls)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize(
    "text",
    [
        "hello <tool_cal",
        "a < b [TOOL",
        '{"name": "sub", "arguments": {}}',
        '{"name": "add", "age": 5}',
        "  spaced\n",
        "\n",
        '<tool_call>\n{"name": "sub", "arguments": {}}\n</tool_call>',
        '{"na',
        "<tool_call>\n{",
    ],
)
def test_what_only_looks_like_a_call_is_text(form: ToolFormat, text: str) -> None:
    assert summed(read(form, *text)) == (text, [])
    assert summed(read(form, text)) == (text, [])


def test_arguments_come_as_they_are_written() -> None:
    reader = CallReader(TAGGED, TOOLS)
    assert reader.feed('<tool_call>\n{"name": "add", "arguments": {"a"') == [
        CallStarted(0, "add"),
        CallArguments(0, '{"a"'),
    ]
    assert reader.feed(": 5") == [CallArguments(0, ": 5")]
    assert reader.feed("}}\n</tool") == [CallArguments(0, "}")]
    assert reader.end() == []


def test_white_space_around_calls_is_not_said() -> None:
    text = '\n\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>\n'
    assert summed(read(TAGGED, *text)) == ("", [NONE])


LOOSE = [
    '{"name": "add", "arguments": {"a": 5}}',
    'Sure:\n```json\n{\n  "name": "add",\n  "arguments": {\n    "a": 5\n  }\n}\n```',
    '\n```json\n{"name": "add", "arguments": {"a": 5}}```',
]


@pytest.mark.parametrize("text", LOOSE)
def test_a_small_models_untagged_call_is_held_to_the_schema_and_read(text: str) -> None:
    grammar = tool_grammar(TAGGED, TOOLS, must_call=False, is_parallel=True)
    assert allows(grammar, text)
    assert not allows(grammar, text.replace("5", '"x"'))
    for parts in ([text], list(text)):
        said, [(name, arguments)] = summed(read(TAGGED, *parts))
        assert said == ("Sure:\n" if text.startswith("Sure") else "")
        assert (name, json.loads(arguments)) == ("add", {"a": 5})


def test_an_untagged_call_ends_and_does_not_lose_itself_in_white_space() -> None:
    grammar = tool_grammar(TAGGED, TOOLS, must_call=False, is_parallel=True)
    for call in ('{"name": "add", "arguments": {"a": 5}%s}', '{"name": "add", "arguments":%s{"a": 5}}'):
        assert allows(grammar, call % ("\n" * 40))
        assert not allows(grammar, call % ("\n" * 41))


@pytest.mark.parametrize(
    "text", ['```json\n{"age": 5}\n```', '{"age": 5} <tool', '```json {"name": "sub", "x']
)
def test_a_block_of_json_that_is_no_call_is_text(text: str) -> None:
    assert allows(tool_grammar(TAGGED, TOOLS, must_call=False, is_parallel=True), text)
    assert summed(read(TAGGED, *text)) == (text, [])
    told = text + CALL_TEXT
    assert summed(read(TAGGED, *told)) == (text, [ONE])


def test_as_many_tools_as_openai_takes_are_within_a_grammars_limits() -> None:
    tools = [ToolSpec(f"tool_{i}", "", json.dumps(LIST)) for i in range(128)]
    for form in FORMATS:
        check(tool_grammar(form, tools, must_call=False, is_parallel=True))


def test_the_format_is_that_of_the_template() -> None:
    assert find_format("... within <tool_call></tool_call> XML tags ...") is TAGGED
    assert find_format("{{- '[TOOL_CALLS]' }}") is LISTED
    assert find_format("<|python_tag|>") is NAMED_PARAMETERS
    assert find_format("plain") is BARE


def test_references_move_with_their_schema() -> None:
    assert moved({"$ref": "#"}, "/a") == {"$ref": "#/a"}
    assert moved([{"x": {"$ref": "#/$defs/y"}}, {"$ref": "http://z"}], "/a") == [
        {"x": {"$ref": "#/a/$defs/y"}},
        {"$ref": "http://z"},
    ]


@pytest.mark.parametrize("parameters", ['{"type":"object","properties":{}}', None])
def test_a_tool_without_parameters_is_called_without_arguments(parameters: str | None) -> None:
    for form in FORMATS:
        tools = [ToolSpec("now", "", parameters or "")]
        constraint = tool_grammar(form, tools, must_call=True, is_parallel=False)
        assert allows(constraint, written(form, ("now", "{}")))
        assert not allows(constraint, written(form, ("now", '{"made": "up"}')))


NOTE = text_tool("note", "")
SUM = grammar_tool("sum", "", "lark", 'start: N ("+" N)*\nN: /[0-9]+/')
NOTE_CALL = ("note", '{"input": "a \\"b\\""}')


@pytest.mark.parametrize("must_call", [True, False])
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_custom_tool_is_called_with_text_or_by_its_grammar(form: ToolFormat, must_call: bool) -> None:
    grammar = tool_grammar(form, [*TOOLS, NOTE, SUM], must_call=must_call, is_parallel=True)
    head = form.trigger + form.before + f'{{"name": "sum", "{form.arguments}": {{"input": "'
    assert allows(grammar, written(form, NOTE_CALL))
    assert allows(grammar, head + "1+22+3")
    assert not allows(grammar, head + "1+")
    assert not allows(grammar, head + '1"}}' + form.after)
    assert not allows(grammar, written(form, ("note", '{"text": "a"}')))
    if form.between is not None:
        first = written(form, ("now", "{}")).removesuffix(form.after)
        assert allows(grammar, first + form.between + head.removeprefix(form.trigger + form.before) + "7")


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_an_input_by_grammar_may_be_the_only_call(form: ToolFormat) -> None:
    grammar = tool_grammar(form, [SUM], must_call=True, is_parallel=True)
    assert allows(grammar, form.trigger + form.before + f'{{"name": "sum", "{form.arguments}": {{"input": "5')


def test_what_looks_like_an_untagged_call_with_a_grammar_is_text() -> None:
    said = '{"name": "sum", "arguments": {"input": "no sum at all"}}'
    reader = CallReader(TAGGED, [SUM])
    pieces = [*reader.feed(said), *reader.end()]
    assert all(isinstance(piece, TextPiece) for piece in pieces)
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextPiece)) == said

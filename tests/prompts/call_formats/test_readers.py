"""What each call format's reader finds in a model's text: the same however it is split, with nothing lost and
nothing leaked."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.prompts.call_formats.test_grammars import SEVERAL, SUM
from tests.prompts.call_formats.written import (
    CALLS,
    LONG,
    NONE,
    ONE,
    TOOLS,
    TWO,
    read,
    same,
    summed,
    written,
)

from myna.core.conversation import ToolSpec
from myna.prompts.call_formats.base import CallArguments, CallStarted, TextPiece
from myna.prompts.call_formats.table import FORMATS

HERMES = FORMATS["hermes"]
SPOKEN = ["", "Sure.\n", " 你好 <tool ", "a < b [TOOL {"]
MARKED = [name for name, form in FORMATS.items() if form.marks.anywhere]


@given(st.data())
def test_calls_are_read_the_same_at_any_split(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(FORMATS)))
    form = FORMATS[name]
    spoken = data.draw(st.sampled_from(SPOKEN)) if name in MARKED else ""
    most = 3 if name in SEVERAL else 1
    calls = data.draw(st.lists(st.sampled_from(CALLS), min_size=1, max_size=most))
    text = spoken + written(form, *calls)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for split in (parts, list(text)):
        said, found = summed(read(form.reader(TOOLS), *split))
        assert said == spoken
        assert same(found, calls)


@given(st.data())
def test_any_strings_are_read_as_they_are_written(data: st.DataObject) -> None:
    form = FORMATS[data.draw(st.sampled_from(list(FORMATS)))]
    values = st.text(max_size=12) | st.text(alphabet="<>/\n\"'|=[]{}(), pa", max_size=12)
    arguments = data.draw(st.fixed_dictionaries({"to": values, "text": values}, optional={"until": values}))
    text = written(form, ("send", json.dumps(arguments, ensure_ascii=False)))
    _, found = summed(read(form.reader(TOOLS), *text))
    expected = dict(arguments)
    if found and expected.get("until") == "null":
        expected["until"] = json.loads(found[0][1])["until"]
    assert len(found) == 1
    read_back = json.loads(found[0][1])
    assert read_back.keys() == expected.keys()
    assert all(read_back[key] == expected[key] for key in ("to", "text"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_that_is_cut_anywhere_leaks_no_markup_into_the_text(name: str) -> None:
    form = FORMATS[name]
    said_before = "Sure.\n" if name in MARKED else ""
    calls = [LONG, TWO] if name in SEVERAL else [LONG]
    text = said_before + written(form, *calls)
    for end in range(len(said_before), len(text) + 1):
        said, found = summed(read(form.reader(TOOLS), text[:end], is_cut=True))
        assert said == said_before, text[:end]
        whole = [(name, json.loads(arguments)) for name, arguments in calls]
        for (found_name, arguments), (expected_name, expected) in zip(found, whole, strict=False):
            assert found_name == expected_name
            for key, value in json.loads(completed(arguments) or "{}").items():
                assert key in expected or not value


def completed(arguments: str) -> str:
    """Arguments that were cut off if they are whole JSON; empty otherwise."""
    try:
        json.loads(arguments)
    except ValueError:
        return ""
    return arguments


@pytest.mark.parametrize("name", FORMATS)
def test_pieces_of_a_cut_call_are_the_beginning_of_the_whole_ones(name: str) -> None:
    form = FORMATS[name]
    text = written(form, LONG)
    [(_, whole)] = summed(read(form.reader(TOOLS), text))[1]
    for end in range(len(text) + 1):
        _, found = summed(read(form.reader(TOOLS), text[:end], is_cut=True))
        assert all(whole.startswith(arguments) for _, arguments in found)


@pytest.mark.parametrize("name", FORMATS)
def test_only_a_call_that_has_not_ended_is_open(name: str) -> None:
    form = FORMATS[name]
    text = written(form, LONG)
    reader = form.reader(TOOLS)
    states = []
    for char in text:
        reader.feed(char)
        states.append(reader.is_in_call)
    assert True in states and not states[-1]


@pytest.mark.parametrize("name", FORMATS)
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
        "<tool_call>\n<function=sub>\n</function>\n</tool_call>",
        "<tool_call>sub<arg_key>a</arg_key>",
        "<function=add> is a tag",
    ],
)
def test_what_only_looks_like_a_call_is_text(name: str, text: str) -> None:
    for parts in ([text], list(text)):
        assert summed(read(FORMATS[name].reader(TOOLS), *parts)) == (text, [])


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_of_an_unknown_tool_is_text(name: str) -> None:
    form = FORMATS[name]
    text = written(form, ("sub", '{"a": 5}'))
    for parts in ([text], list(text)):
        assert summed(read(form.reader(TOOLS), *parts)) == (text, [])


@pytest.mark.parametrize("name", SEVERAL)
def test_after_text_that_looks_like_a_call_one_is_still_read(name: str) -> None:
    form = FORMATS[name]
    unknown = written(form, ("sub", "{}")) + " well: "
    said, found = summed(read(form.reader(TOOLS), *(unknown + written(form, ONE))))
    assert (said, same(found, [ONE])) == (unknown, True)


@pytest.mark.parametrize("name", SEVERAL)
def test_text_after_calls_is_kept(name: str) -> None:
    form = FORMATS[name]
    said, found = summed(read(form.reader(TOOLS), *(written(form, ONE) + "\n\nDone.")))
    assert (said.strip(), same(found, [ONE])) == ("Done.", True)


@pytest.mark.parametrize("name", MARKED)
def test_other_white_space_between_marks_is_accepted(name: str) -> None:
    form = FORMATS[name]
    calls = [ONE, NONE] if name in SEVERAL else [ONE]
    begin, text = form.marks.anywhere[0], written(form, *calls)
    begin = begin if text.startswith(begin) else ""
    rest = text.removeprefix(begin)
    for changed in (begin + rest.replace("\n", ""), begin + rest.replace("\n", "\n\n"), f"\n\n{text}\n"):
        said, found = summed(read(form.reader(TOOLS), *changed))
        assert (said, same(found, calls)) == ("", True), changed


def test_json_arguments_come_as_they_are_written() -> None:
    reader = HERMES.reader(TOOLS)
    assert reader.feed('<tool_call>\n{"name": "add", "arguments": {"a"') == [
        CallStarted(0, "add"),
        CallArguments(0, '{"a"'),
    ]
    assert reader.feed(": 5") == [CallArguments(0, ": 5")]
    assert reader.feed("}}\n</tool") == [CallArguments(0, "}")]
    assert reader.end() == []


def test_a_string_between_tags_comes_as_it_is_written() -> None:
    reader = FORMATS["qwen3-coder"].reader(TOOLS)
    begin = "<tool_call>\n<function=send>\n<parameter=to>\n"
    assert reader.feed(begin) == [CallStarted(0, "send"), CallArguments(0, '{"to": "')]
    assert reader.feed("你") == [CallArguments(0, "你")]
    assert reader.feed("\n") == []
    assert reader.feed('"</par') == [CallArguments(0, '\\n\\"')]
    assert reader.feed("ameter>\n") == [CallArguments(0, '"')]


@pytest.mark.parametrize(
    ("written_value", "value"),
    [("5", "5"), ("null", None), ("[1]", "[1]"), ("True", "True"), ("x", "x")],
)
def test_the_schema_decides_what_an_unquoted_value_is(written_value: str, value: object) -> None:
    parameter = f"<parameter=until>\n{written_value}\n</parameter>\n"
    text = f"<tool_call>\n<function=send>\n{parameter}</function>\n</tool_call>"
    [(_, arguments)] = summed(read(FORMATS["qwen3-coder"].reader(TOOLS), *text))[1]
    assert json.loads(arguments) == {"until": value}


@pytest.mark.parametrize(
    ("written_value", "value"),
    [("{'a': [True, None]}", {"a": [True, None]}), ('{"a": 1}', {"a": 1}), ("a b", "a b"), ("NaN", "NaN")],
)
def test_a_value_without_a_schema_is_json_or_a_literal_of_python_or_text(
    written_value: str, value: object
) -> None:
    text = f"<tool_call>any<arg_key>x</arg_key><arg_value>{written_value}</arg_value></tool_call>"
    [(_, arguments)] = summed(read(FORMATS["glm-4.7"].reader([ToolSpec("any")]), *text))[1]
    assert json.loads(arguments) == {"x": value}


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("to='it's', text=\"a, b)\"", {"to": "it's", "text": "a, b)"}),
        ("to='x', urgent=True, until=None", {"to": "x", "urgent": True, "until": None}),
        ("to = 'x',tags=['a', 'b'], size=-1.5", {"to": "x", "tags": ["a", "b"], "size": -1.5}),
        ("to=Rom", {"to": "Rom"}),
        ("", {}),
    ],
)
def test_literals_of_python_are_read(arguments: str, value: object) -> None:
    text = f"<|tool_call_start|>[send({arguments})]<|tool_call_end|>"
    said, [(_, found)] = summed(read(FORMATS["lfm2"].reader(TOOLS), *text))
    assert (said, json.loads(found)) == ("", value)


LOOSE = [
    '{"name": "add", "arguments": {"a": 5}}',
    'Sure:\n```json\n{\n  "name": "add",\n  "arguments": {\n    "a": 5\n  }\n}\n```',
    '\n```json\n{"name": "add", "arguments": {"a": 5}}```',
    'Sure:\n<tools>\n{"name": "add", "arguments": {"a": 5}}\n</tools>',
]


@pytest.mark.parametrize("text", LOOSE)
def test_a_small_models_untagged_call_is_read(text: str) -> None:
    for parts in ([text], list(text)):
        said, found = summed(read(HERMES.reader(TOOLS), *parts))
        assert said == ("Sure:\n" if text.startswith("Sure") else "")
        assert same(found, [ONE])


def test_requested_json_is_not_a_call() -> None:
    assert summed(read(HERMES.reader(TOOLS, is_answer_json=True), *LOOSE[0])) == (LOOSE[0], [])


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
def test_a_block_of_json_that_is_not_a_call_is_text(text: str) -> None:
    assert summed(read(HERMES.reader(TOOLS), *text)) == (text, [])
    more = text + written(HERMES, ONE)
    assert summed(read(HERMES.reader(TOOLS), *more)) == (text, [ONE])


def test_what_looks_like_an_untagged_call_with_a_grammar_is_text() -> None:
    said = '{"name": "sum", "arguments": {"input": "no sum at all"}}'
    pieces = read(HERMES.reader([SUM]), said)
    assert all(isinstance(piece, TextPiece) for piece in pieces)
    assert summed(pieces) == (said, [])


@pytest.mark.parametrize("name", FORMATS)
def test_deeply_nested_values_are_read_or_are_text(name: str) -> None:
    form = FORMATS[name]
    for value in ("[" * 5000 + "]" * 5000, "(" * 5000, "{'a':" * 5000):
        text = written(form, ("any", '{"x": "Paris"}')).replace("Paris", value)
        said, found = summed(read(form.reader([ToolSpec("any")]), text))
        assert found or said

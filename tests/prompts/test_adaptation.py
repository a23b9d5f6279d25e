"""Rewriting conversations for templates that can't take them as they are."""

import json
import re
from collections import Counter

import pytest
from tests.prompts.conversations import CONVERSATIONS, SAID, A, Q, call, result

from myna.core.conversation import Message, ToolCall, ToolSpec
from myna.prompts.adaptation import Adaptation, adapt, adaptations
from myna.prompts.call_formats.table import BARE, FORMATS

TOOLS = [ToolSpec("add", "Adds", '{"type": "object"}'), ToolSpec("now")]
CALLS = (ToolCall("call_1", "add", '{"a": 1}'), ToolCall("call_2", "now", ""))
LOOP = [
    Message.of("system", "be brief"),
    Message.of("user", "a"),
    Message.of("assistant", "Let me see.", tool_calls=CALLS),
    Message.of("tool", "noon", tool_call_id="call_2"),
    Message.of("tool", "2", tool_call_id="call_1"),
]
EARLY, LATE = Message.of("system", "early"), Message.of("system", "late")
CHAT = [EARLY, Q, A, LATE, Message.of("user", "b")]


def rewritten(messages: list[Message], way: Adaptation) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in adapt(messages, (), way, BARE)[0]]


def words(messages: tuple[Message, ...]) -> Counter[str]:
    texts = [m.text for m in messages]
    texts += [f"{c.name} {c.arguments}" for m in messages for c in m.tool_calls]
    return Counter(re.findall(r"word\d\d", " ".join(texts)))


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_no_rewriting_loses_or_repeats_a_word(name: str) -> None:
    messages = CONVERSATIONS[name].messages
    for way in adaptations(messages, (), has_tools=True, has_calls=True):
        assert words(adapt(messages, (), way, BARE)[0]) == words(messages), way


def test_the_first_changes_nothing_unless_the_template_shows_no_tools() -> None:
    first = adaptations(LOOP, TOOLS, has_tools=True, has_calls=True)[0]
    assert adapt(LOOP, TOOLS, first, BARE) == (tuple(LOOP), tuple(TOOLS))
    spelled = adaptations(LOOP, TOOLS, has_tools=False, has_calls=False)[0]
    assert (spelled.tools, spelled.spelling) != (0, 0)
    assert adaptations([Q], (), has_tools=False, has_calls=False) == (Adaptation(),)


def test_instructions_are_joined_early_or_all_or_folded_into_the_next_question() -> None:
    two = [EARLY, LATE, Q]
    assert rewritten(two, Adaptation(instructions=1)) == [("system", "early\n\nlate"), ("user", Q.text)]
    assert rewritten(CHAT, Adaptation(instructions=1)) == rewritten(CHAT, Adaptation())
    assert rewritten(CHAT, Adaptation(instructions=2)) == [
        ("system", "early\n\nlate"),
        ("user", Q.text),
        ("assistant", A.text),
        ("user", "b"),
    ]
    assert rewritten(CHAT, Adaptation(instructions=3)) == [
        ("user", f"early\n\n{Q.text}"),
        ("assistant", A.text),
        ("user", "late\n\nb"),
    ]
    assert rewritten([Q, LATE], Adaptation(instructions=3)) == [("user", Q.text), ("user", "late")]


def test_neighbours_are_one_turn_and_blank_turns_none() -> None:
    turns = [Q, Message.of("assistant", ""), Message.of("user", "b"), A, SAID, result(20, "r"), A]
    assert rewritten(turns, Adaptation(neighbours=1, blanks=1)) == [
        ("user", f"{Q.text}\n\nb"),
        ("assistant", f"{A.text}\n\n{SAID.text}"),
        ("tool", "r"),
        ("assistant", A.text),
    ]


def test_parallel_calls_become_turns_each_with_its_own_result() -> None:
    split, _ = adapt(LOOP, (), Adaptation(calls=3), BARE)
    assert [(m.text, [c.id for c in m.tool_calls], m.tool_call_id) for m in split[2:]] == [
        ("Let me see.", [], None),
        ("", ["call_1"], None),
        ("2", [], "call_1"),
        ("", ["call_2"], None),
        ("noon", [], "call_2"),
    ]


def test_results_of_no_call_remain_after_the_others() -> None:
    turns = [Message.of("assistant", None, tool_calls=CALLS), result(20, "whose"), LOOP[4]]
    assert [text for _, text in rewritten(turns, Adaptation(calls=2))] == ["", "2", "", "whose"]


@pytest.mark.parametrize(("form", "arguments"), [("bare", "arguments"), ("parameters", "parameters")])
def test_spelled_calls_are_what_the_model_would_write(form: str, arguments: str) -> None:
    spelled, _ = adapt(LOOP, (), Adaptation(spelling=3), FORMATS[form])
    announced, *calls = spelled[2].text.splitlines()
    assert (announced, spelled[2].tool_calls) == ("Let me see.", ())
    assert [json.loads(line) for line in calls] == [
        {"name": "add", arguments: {"a": 1}},
        {"name": "now", arguments: {}},
    ]
    assert [(message.role, message.text) for message in spelled[3:]] == [
        ("user", "The function's result: noon"),
        ("user", "The function's result: 2"),
    ]
    assert [m.role for m in adapt(LOOP, (), Adaptation(spelling=2), BARE)[0][3:]] == ["tool", "tool"]


@pytest.mark.parametrize("arguments", ['["word1"]', '{"a": "word1', '"word1"'])
@pytest.mark.parametrize("form", FORMATS)
def test_broken_arguments_are_spelled_in_any_form(form: str, arguments: str) -> None:
    turn = Message.of("assistant", None, tool_calls=(ToolCall("call_1", "add", arguments),))
    [spelled], _ = adapt([turn], (), Adaptation(spelling=2), FORMATS[form])
    assert spelled.text.count(arguments) == 1


def test_spelled_tools_are_the_first_instruction() -> None:
    (first, *rest), tools = adapt(LOOP, TOOLS, Adaptation(tools=1), BARE)
    assert (tools, rest) == ((), LOOP)
    assert first.role == "system"
    lines = [json.loads(line) for line in first.text.splitlines() if line.startswith('{"name": "')]
    assert lines == [
        {"name": "add", "description": "Adds", "parameters": {"type": "object"}},
        {"name": "now", "description": "", "parameters": lines[1]["parameters"]},
    ]


@pytest.mark.parametrize("name", ["bare", "deepseek-r1"])
def test_the_instruction_shows_a_call_in_the_form_that_is_read(name: str) -> None:
    (first, *_), _ = adapt(LOOP, TOOLS, Adaptation(tools=1), FORMATS[name])
    example = ToolCall("call00001", "its_name", '{"an_argument": "its value"}')
    assert FORMATS[name].write([example]) in first.text


def test_thoughts_may_be_left_out() -> None:
    turns = [Q, Message.of("assistant", "a", tool_calls=(call(20),), reasoning="t")]
    assert [m.reasoning for m in adapt(turns, (), Adaptation(thoughts=1), BARE)[0]] == [None, None]

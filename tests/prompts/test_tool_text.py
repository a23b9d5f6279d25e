"""Tools for templates that know none, or only a part of what tools need."""

import json

import pytest

from myna.core.conversation import Message, ToolCall, ToolSpec
from myna.prompts.call_formats.table import BARE, FORMATS
from myna.prompts.template_probe import TemplateFeatures
from myna.prompts.tool_text import spell_out

ALL = TemplateFeatures(has_tools=True, has_tool_calls=True, has_tool_messages=True)
TOOLS = [ToolSpec("add", "Adds", '{"type": "object"}'), ToolSpec("now")]
CALLS = (ToolCall("call_1", "add", '{"a": 1}'), ToolCall("call_2", "now", ""))
CONVERSATION = [
    Message.of("system", "be brief"),
    Message.of("user", "a"),
    Message.of("assistant", "Let me see.", tool_calls=CALLS),
    Message.of("tool", "2", tool_call_id="call_1"),
    Message.of("tool", "noon", tool_call_id="call_2"),
]


def test_a_template_that_knows_tools_gets_them_as_they_are() -> None:
    assert spell_out(CONVERSATION, TOOLS, ALL, BARE) == (CONVERSATION, TOOLS)


def test_without_tools_nothing_changes_for_any_template() -> None:
    messages = CONVERSATION[:2]
    assert spell_out(messages, (), TemplateFeatures(), BARE) == (messages, ())


def test_a_template_without_tools_gets_them_as_the_first_instruction() -> None:
    (first, *rest), tools = spell_out(CONVERSATION[:2], TOOLS, TemplateFeatures(), BARE)
    assert (tools, rest) == ((), CONVERSATION[:2])
    assert first.role == "system"
    lines = [json.loads(line) for line in first.text.splitlines() if line.startswith('{"name": "')]
    assert lines == [
        {"name": "add", "description": "Adds", "parameters": {"type": "object"}},
        {"name": "now", "description": "", "parameters": lines[1]["parameters"]},
    ]


def test_the_instruction_shows_a_call_in_the_form_that_is_read() -> None:
    for form in (BARE, FORMATS["deepseek-r1"]):
        (first, *_), _ = spell_out(CONVERSATION[:2], TOOLS, TemplateFeatures(), form)
        example = ToolCall("call00001", "its_name", '{"an_argument": "its value"}')
        assert form.write([example]) in first.text


@pytest.mark.parametrize(("form", "arguments"), [("bare", "arguments"), ("parameters", "parameters")])
def test_past_calls_and_results_become_what_was_said(form: str, arguments: str) -> None:
    spelled, _ = spell_out(CONVERSATION, (), TemplateFeatures(), FORMATS[form])
    said, *calls = spelled[2].text.splitlines()
    assert (said, spelled[2].tool_calls) == ("Let me see.", ())
    assert [json.loads(call) for call in calls] == [
        {"name": "add", arguments: {"a": 1}},
        {"name": "now", arguments: {}},
    ]
    assert [(message.role, message.text) for message in spelled[3:]] == [
        ("user", "The function's result: 2"),
        ("user", "The function's result: noon"),
    ]


def test_a_template_with_tool_messages_keeps_them() -> None:
    spelled, _ = spell_out(CONVERSATION, TOOLS, TemplateFeatures(has_tool_messages=True), BARE)
    assert [message.role for message in spelled[-2:]] == ["tool", "tool"]

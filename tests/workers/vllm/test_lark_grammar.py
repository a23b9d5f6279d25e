"""Constraints as one grammar: what it accepts is what Myna's own form accepts."""

import json

import pytest
from llguidance import LLMatcher, LLTokenizer

from myna.core.constraints import (
    AnyText,
    CallableTool,
    Constraint,
    FinalChannel,
    JsonObject,
    JsonSchema,
    LarkGrammar,
    NoToolCalls,
    Regex,
    TextChoice,
    ToolCalls,
)
from myna.core.requests import Thought
from myna.prompts.call_formats.table import FORMATS
from myna.scheduling.grammar_text import grammar_text
from myna.workers.vllm.lark_grammar import to_lark

BYTES = LLTokenizer("byte")
AGE = JsonSchema(
    json.dumps({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]})
)
FIND = CallableTool("find", json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}}))
SUM = CallableTool("sum", kind="grammar", grammar='start: NUMBER "+" NUMBER\nNUMBER: /[0-9]+/\n')
CALL = '<tool_call>\n{"name": "find", "arguments": {"a": 1}}\n</tool_call>'


def accepts(grammar: str, text: str) -> bool:
    matcher = LLMatcher(BYTES, grammar)
    assert not matcher.is_error(), matcher.get_error()
    return all(matcher.consume_token(byte) for byte in text.encode()) and matcher.is_accepting()


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        (AGE, '{"age":3}', '{"age":"3"}'),
        (JsonObject(), '{"a": [1]}', "[1]"),
        (Regex("[ab]+/?"), "abba/", "abc"),
        (TextChoice(("red", 'gr"een')), 'gr"een', "blue"),
        (LarkGrammar('start: "x" y\ny: "y"\n'), "xy", "x"),
        (AnyText(), "any text\n", None),
        (NoToolCalls("hermes"), "no call", CALL),
        (ToolCalls("hermes", (FIND,), is_required=True), CALL, "text"),
        (ToolCalls("hermes", (FIND, SUM)), f"text, then {CALL}", None),
        (ToolCalls("hermes", (FIND,), answer=AGE), '{"age":3}', "text"),
    ],
)
def test_it_accepts_what_the_constraint_does(constraint: Constraint, good: str, bad: str | None) -> None:
    whole = to_lark(grammar_text(constraint), {})
    assert accepts(whole, good)
    assert bad is None or not accepts(whole, bad)


@pytest.mark.parametrize("name", FORMATS)
def test_every_call_format_can_be_followed(name: str) -> None:
    tools = (FIND, SUM) if "input_1" in grammar_text(ToolCalls(name, (FIND, SUM))) else (FIND,)
    for is_required in (True, False):
        whole = to_lark(grammar_text(ToolCalls(name, tools, is_required=is_required)), {})
        assert not LLMatcher(BYTES, whole).is_error()
        thought = Thought("<think>", "</think>", is_optional=True)
        assert not LLMatcher(BYTES, to_lark(grammar_text(ToolCalls(name, tools)), {}, thought)).is_error()


@pytest.mark.parametrize(
    ("thought", "good", "bad"),
    [
        (Thought("<think>", "</think>"), "<think>so\n</think>red", "red"),
        (Thought("<think>", "</think>", is_open=True), "so</think>red", "<think>red"),
        (Thought("<think>", "</think>", is_optional=True), "red", "so</think>red"),
        (Thought("<think>", "</think>", is_optional=True), "<think></think>red", "<think>red"),
    ],
)
def test_a_thought_comes_before_the_answer(thought: Thought, good: str, bad: str) -> None:
    whole = to_lark(grammar_text(TextChoice(("red",))), {}, thought)
    assert accepts(whole, good)
    assert not accepts(whole, bad)


def test_marks_that_are_part_of_no_text_become_tokens_and_users_texts_stay() -> None:
    special = {"<tool_call>": 300, "</think>": 301, "<think>": 302}
    tool = CallableTool("find", json.dumps({"type": "object", "properties": {"a": {"const": "<tool_call>"}}}))
    whole = to_lark(
        grammar_text(ToolCalls("hermes", (tool,))), special, Thought("<think>", "</think>", max_tokens=9)
    )
    assert "begin: <[302]>\nthinking: /(.|\\n)*/ <[301]>\n" in whole
    assert "begun: TEXT (<[300]>)" in whole
    assert '"const": "<tool_call>"' in whole


def test_harmony_brings_its_own_thoughts() -> None:
    whole = to_lark(
        grammar_text(FinalChannel(AGE)),
        {"<|channel|>": 300, "<|message|>": 301, "<|end|>": 302, "<|start|>": 303},
        Thought("<|channel|>analysis<|message|>", "<|end|>", is_harmony=True),
    )
    assert "analysis_text:" in whole
    assert "answer: %json" in whole
    assert "thinking" not in whole

"""Custom tools: called with text instead of JSON, by itself or as a grammar says."""

import json
from typing import Any

import pytest
from tests.api.chat.test_tool_calls import events
from tests.api.stand_in import BytePrompting, chunks_of, error_of, serving

from myna.core.constraints import CallableTool
from myna.core.conversation import ToolCall
from myna.core.functionary import LEAD
from myna.prompts.call_formats.table import FORMATS
from myna.scheduling.grammar_text import grammar_text

USER = {"role": "user", "content": "a"}
NOTE: dict[str, Any] = {"type": "custom", "custom": {"name": "note", "description": "Write it down"}}
SUM: dict[str, Any] = {
    "type": "custom",
    "custom": {
        "name": "sum",
        "format": {
            "type": "grammar",
            "grammar": {"syntax": "lark", "definition": 'start: N ("+" N)*\nN: /[0-9]+/'},
        },
    },
}
DIGITS: dict[str, Any] = {
    "type": "custom",
    "custom": {
        "name": "digits",
        "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[0-9]+/[0-9]+"}},
    },
}
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
TEXT = 'say "hi"\nand 你好 🙂 \\o/'
SUM_CALL = '{"name": "sum", "arguments": {"input": "12+3'


def written(form: str, name: str, text: str) -> str:
    if name == "sum":
        # Where the prompt ends with a call's mark, readers get it all the same, as after a text.
        mark = LEAD if FORMATS[form].marks.has_recipients else ""
        return mark + FORMATS[form].call_head(CallableTool(name, kind="grammar")) + text
    return FORMATS[form].write([ToolCall("call00001", name, json.dumps({"input": text}))])


async def ask(said: str, form: str, size: int, **options: Any) -> tuple[Any, list[Any]]:
    """The whole message, and the deltas of the same answer streamed."""
    told = events(said, size)
    async with serving(told, told, prompting=BytePrompting(call_format=form)) as model:
        body: dict[str, Any] = {"messages": [USER], **options}
        whole = (await model.ask("chat/completions", **body)).json()
        chunks = chunks_of(await model.ask("chat/completions", stream=True, **body))
    assert whole["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    return whole["choices"][0]["message"], [chunk["choices"][0]["delta"] for chunk in chunks]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("name", "text"), [("note", TEXT), ("sum", "12+3")])
async def test_the_input_is_the_text_itself_whole_and_streamed(
    name: str, text: str, form: str, size: int
) -> None:
    message, deltas = await ask(written(form, name, text), form, size, tools=[NOTE, SUM, NOW])
    (made,) = message["tool_calls"]
    assert list(made) == ["id", "type", "custom"]
    assert (made["type"], made["custom"]) == ("custom", {"name": name, "input": text})
    assert message["content"] is None
    (head,) = deltas[0]["tool_calls"]
    assert head == {"index": 0, "id": head["id"], "type": "custom", "custom": {"name": name, "input": ""}}
    pieces = [delta["tool_calls"][0] for delta in deltas[1:-1]]
    assert all(list(piece) == ["index", "custom"] for piece in pieces)
    assert "".join(piece["custom"]["input"] for piece in pieces) == text


async def test_a_function_and_a_custom_tool_are_called_together() -> None:
    first = '<tool_call>\n{"name": "now", "arguments": {}}'
    said = first + "\n</tool_call>\n<tool_call>\n" + SUM_CALL
    message, _ = await ask(said, "hermes", 5, tools=[SUM, NOW])
    assert [call["type"] for call in message["tool_calls"]] == ["function", "custom"]


async def test_prompts_name_the_tool_its_input_and_its_grammar() -> None:
    prompting = BytePrompting()
    async with serving(prompting=prompting) as model:
        await model.ask("chat/completions", messages=[USER], tools=[NOTE, SUM])
    note, total = prompting.tools[0]
    assert (note.name, note.description) == ("note", "Write it down")
    assert json.loads(note.parameters)["required"] == ["input"]
    assert "lark grammar" in total.description
    assert "[0-9]+" in total.description


async def test_earlier_custom_calls_reach_the_template() -> None:
    prompting = BytePrompting()
    call = {"id": "call_1", "type": "custom", "custom": {"name": "note", "input": TEXT}}
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
    ]
    async with serving(prompting=prompting) as model:
        response = await model.ask("chat/completions", messages=messages, tools=[NOTE])
    assert response.status_code == 200
    arguments = json.dumps({"input": TEXT}, ensure_ascii=False)
    assert prompting.conversations[0][1].tool_calls == (ToolCall("call_1", "note", arguments),)


async def test_a_grammar_that_is_none_is_refused_with_its_place() -> None:
    for syntax, definition in (("lark", "start: bogus("), ("regex", "[0-9")):
        form = {"type": "grammar", "grammar": {"syntax": syntax, "definition": definition}}
        tools = [NOW, {"type": "custom", "custom": {"name": "x", "format": form}}]
        async with serving() as model:
            error = error_of(await model.ask("chat/completions", messages=[USER], tools=tools))
        place = "tools[1].custom.format.grammar.definition"
        assert (error["param"], error["code"]) == (place, "invalid_value")
        assert error["message"].startswith(f"Invalid '{place}': The grammar can't be followed:")


async def test_a_form_and_an_input_by_grammar_exclude_each_other_where_calls_have_no_mark() -> None:
    body = {"messages": [{**USER, "content": "json"}], "tools": [SUM]}
    for form, status in (("bare", 400), ("hermes", 200), ("qwen3-coder", 200)):
        async with serving(prompting=BytePrompting(call_format=form)) as model:
            response = await model.ask("chat/completions", **body, response_format={"type": "json_object"})
        assert response.status_code == status


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "custom", "custom": {"name": "digits"}},
        {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "required",
                "tools": [{"type": "custom", "custom": {"name": "digits"}}],
            },
        },
    ],
)
async def test_a_choice_may_be_a_custom_tool(choice: dict[str, Any]) -> None:
    async with serving() as model:
        await model.ask("chat/completions", messages=[USER], tools=[NOTE, DIGITS], tool_choice=choice)
    constraint = model.generator.requests[0].constraint
    assert constraint is not None
    assert "digits" in grammar_text(constraint)
    assert "note" not in grammar_text(constraint)

"""`functions` and `function_call`, which newer clients write as tools: honoured in their own older words."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.api.chat.test_tool_calls import events
from tests.api.stand_in import BytePrompting, Model, chunks_of, serving

from myna.core.conversation import ToolCall
from myna.scheduling.grammar_text import grammar_text

USER = {"role": "user", "content": "a"}
WEATHER = {
    "name": "weather",
    "description": "The weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
FUNCTIONS = [WEATHER, {"name": "now"}]
CALL = '{"name": "weather", "arguments": {"city": "北京"}}'


async def asked(
    model: Model, *, stream: bool = False, messages: list[dict[str, Any]] | None = None, **options: Any
) -> Any:
    body: dict[str, Any] = {"messages": messages or [USER], "functions": FUNCTIONS, **options}
    response = await model.ask("chat/completions", stream=stream, **body)
    assert response.status_code == 200, response.text
    return chunks_of(response) if stream else response.json()


async def test_a_call_is_returned_as_a_function_call() -> None:
    async with serving(events(CALL), prompting=BytePrompting(call_format="bare")) as model:
        answer = await asked(model)
    choice = answer["choices"][0]
    assert list(choice["message"]) == ["role", "content", "function_call", "refusal", "annotations"]
    assert choice["message"]["content"] is None
    assert choice["message"]["function_call"] == {"name": "weather", "arguments": '{"city": "北京"}'}
    assert choice["finish_reason"] == "function_call"
    ChatCompletion.model_validate(answer, strict=True)


async def test_a_streamed_call_adds_up_to_the_whole_one() -> None:
    async with serving(events(CALL), prompting=BytePrompting(call_format="bare")) as model:
        chunks = await asked(model, stream=True)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "weather", "arguments": ""},
        "refusal": None,
    }
    assert all(list(delta["function_call"]) == ["arguments"] for delta in deltas[1:-1])
    assert "".join(d["function_call"]["arguments"] for d in deltas[:-1]) == '{"city": "北京"}'
    assert (deltas[-1], chunks[-1]["choices"][0]["finish_reason"]) == ({}, "function_call")


async def test_words_are_words() -> None:
    async with serving(events("no call"), prompting=BytePrompting(call_format="bare")) as model:
        choice = (await asked(model))["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("no call", "stop")
    assert "function_call" not in choice["message"]


@pytest.mark.parametrize(
    ("choice", "called", "spoken"),
    [
        ({"name": "now"}, True, False),
        ("none", False, True),
        ("auto", True, True),
        (None, True, True),
    ],
)
async def test_function_call_says_what_may_come(choice: object, called: bool, spoken: bool) -> None:
    prompting = BytePrompting()
    async with serving(prompting=prompting) as model:
        await asked(model, function_call=choice)
    assert [tool.name for tool in prompting.tools[0]] == ["weather", "now"]
    constraint = model.generator.requests[0].constraint
    assert constraint is not None
    lark = json.loads(grammar_text(constraint))["grammars"][0]["lark_grammar"]
    start = lark.splitlines()[0]
    assert ("rest" in start) == called
    assert ("TEXT" in start or "said" in start) == spoken
    if isinstance(choice, dict):
        assert "weather" not in lark
    assert "</tool_call>\\n<tool_call>" not in lark  # one call per answer


async def test_earlier_calls_and_results_reach_the_template_as_tools_do() -> None:
    prompting = BytePrompting()
    messages: list[dict[str, Any]] = [
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}},
        {"role": "function", "name": "now", "content": "noon"},
        {"role": "assistant", "content": "", "function_call": {"name": "weather", "arguments": "{}"}},
        {"role": "function", "name": "weather", "content": "rain"},
    ]
    async with serving(prompting=prompting) as model:
        await asked(model, messages=messages)
    _, first, noon, second, rain = prompting.conversations[0]
    assert first.tool_calls == (ToolCall("call00001", "now", "{}"),)
    assert (noon.role, noon.name, noon.text, noon.tool_call_id) == ("tool", "now", "noon", "call00001")
    assert second.tool_calls == (ToolCall("call00002", "weather", "{}"),)
    assert rain.tool_call_id == "call00002"


async def test_the_official_client_reads_and_keeps_function_calls() -> None:
    async with serving(events(CALL), events(CALL), prompting=BytePrompting(call_format="bare")) as model:
        create: Any = model.openai().chat.completions.create
        answer = await create(model="tiny", messages=[USER], functions=FUNCTIONS, store=True)
        stored = await model.openai().chat.completions.retrieve(answer.id)
        again = await create(model="tiny", messages=[USER, answer.choices[0].message], functions=FUNCTIONS)
    assert answer.choices[0].message.function_call.name == "weather"
    assert stored.choices[0].message.function_call == answer.choices[0].message.function_call
    assert again.choices[0].finish_reason == "function_call"

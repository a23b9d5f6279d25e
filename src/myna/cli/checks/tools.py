"""Tools: tool choice, call formats and arguments; whole and streamed."""

import json
import re
from typing import Any, Final

import openai

from myna.cli.checks.server import Check, ServerUnderTest, expect

_GROUP: Final = "Tools"
_ASK: Final = [{"role": "user", "content": "What is the weather in Paris?"}]
_TWICE: Final = [{"role": "user", "content": "What is the weather in Paris, and what in Rome?"}]
_WEATHER: Final[dict[str, Any]] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
_SUM: Final[dict[str, Any]] = {
    "type": "custom",
    "custom": {
        "name": "sum",
        "description": "Adds numbers",
        "format": {
            "type": "grammar",
            "grammar": {"syntax": "lark", "definition": 'start: N ("+" N)+\nN: /[0-9]{1,4}/'},
        },
    },
}


def _chat(server: ServerUnderTest, messages: Any = _ASK, **options: Any) -> Any:
    body = {"max_tokens": 100, "temperature": 0, **options}
    return server.client.chat.completions.create(model=server.model, messages=messages, **body)


def _tool_named(server: ServerUnderTest) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    answer = _chat(server, tools=[_WEATHER], tool_choice=choice, max_tokens=100).choices[0]
    call = answer.message.tool_calls[0]
    expect(call.function.name == "get_weather", f"called {call.function.name}")
    expect(
        set(json.loads(call.function.arguments)) == {"city", "unit"}, f"arguments {call.function.arguments!r}"
    )


def _tool_required(server: ServerUnderTest) -> None:
    ask = [{"role": "user", "content": "北京今天天气怎么样？"}]
    answer = _chat(server, ask, tools=[_WEATHER], tool_choice="required", max_tokens=100).choices[0]
    expect(answer.message.tool_calls, f"no call, but {answer.message.content!r}")
    expect(answer.finish_reason == "tool_calls", f"finish_reason is {answer.finish_reason}")


def _tool_none(server: ServerUnderTest) -> None:
    ask = [{"role": "user", "content": "What is the weather in Paris? RequestContext get_weather."}]
    answer = _chat(server, ask, tools=[_WEATHER], tool_choice="none").choices[0]
    expect(not answer.message.tool_calls, "a tool was called")


def _tool_streamed(server: ServerUnderTest) -> None:
    options = {"tools": [_WEATHER], "tool_choice": "required", "max_tokens": 100, "seed": 3}
    whole = _chat(server, **options).choices[0].message.tool_calls[0]
    chunks = server.chat_stream(_ASK[0]["content"], **options)
    deltas = [d for c in chunks if c.choices for d in c.choices[0].delta.tool_calls or []]
    expect(deltas and all(delta.index == 0 for delta in deltas), "deltas without index 0")
    arguments = "".join(delta.function.arguments or "" for delta in deltas if delta.function)
    expect(
        arguments == whole.function.arguments, f"streamed {arguments!r}, whole {whole.function.arguments!r}"
    )


def _tool_answer(server: ServerUnderTest) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
    }
    messages = [
        *_ASK,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
    ]
    expect(_chat(server, messages, tools=[_WEATHER]).choices[0].finish_reason, "no answer to a tool's result")


def _one_call(server: ServerUnderTest) -> None:
    options = {"tools": [_WEATHER], "tool_choice": "required", "max_tokens": 200}
    calls = _chat(server, _TWICE, **options, parallel_tool_calls=False).choices[0].message.tool_calls
    expect(len(calls or ()) == 1, f"{len(calls or ())} calls")


def _functions(server: ServerUnderTest) -> None:
    function = {key: value for key, value in _WEATHER["function"].items() if key != "strict"}
    choice = _chat(server, functions=[function], function_call={"name": "get_weather"}).choices[0]
    call = choice.message.function_call
    expect(call, f"no function_call, but {choice.message.content!r}")
    expect(set(json.loads(call.arguments)) == {"city", "unit"}, f"arguments {call.arguments!r}")
    expect(choice.finish_reason == "function_call", f"finish_reason is {choice.finish_reason}")


def _custom(server: ServerUnderTest) -> None:
    ask = [{"role": "user", "content": "Add 12 and 30."}]
    try:
        choice = _chat(server, ask, tools=[_SUM], tool_choice="required").choices[0]
    except openai.BadRequestError as exc:
        expect("tools" in (exc.param or ""), f"refused, but param is {exc.param!r}")
        return
    call = (choice.message.tool_calls or [None])[0]
    expect(call and call.type == "custom", f"no custom call, but {choice.message.content!r}")
    expect(re.fullmatch(r"\d{1,4}(\+\d{1,4})+", call.custom.input), f"the input is {call.custom.input!r}")


def _with_schema(server: ServerUnderTest) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    for text in ("What is the weather in Paris?", "Say hello."):
        ask = [{"role": "user", "content": text}]
        choice = _chat(server, ask, tools=[_WEATHER], response_format=form, max_tokens=200).choices[0]
        if not choice.message.tool_calls:
            expect(
                set(json.loads(choice.message.content)) == {"answer"},
                f"the answer is {choice.message.content!r}",
            )


def _undeclared(server: ServerUnderTest) -> None:
    choice = {"type": "function", "function": {"name": "never_declared"}}
    body = {"messages": _ASK, "tools": [_WEATHER], "tool_choice": choice, "max_tokens": 16}
    server.refused("chat/completions", body)


def _orphan(server: ServerUnderTest) -> None:
    orphan = {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"}
    server.refused("chat/completions", {"messages": [*_ASK, orphan], "max_tokens": 16})


CHECKS: Final = (
    Check(_GROUP, "tool_choice by name", _tool_named),
    Check(_GROUP, "tool_choice required", _tool_required),
    Check(_GROUP, "tool_choice none", _tool_none),
    Check(_GROUP, "tool_choice of an undeclared tool is refused", _undeclared),
    Check(_GROUP, "streamed tool call equals the whole one", _tool_streamed),
    Check(_GROUP, "a tool's result is answered", _tool_answer),
    Check(_GROUP, "a tool's result without its call is refused", _orphan),
    Check(_GROUP, "parallel_tool_calls false: one call", _one_call),
    Check(_GROUP, "tools together with a json_schema", _with_schema),
    Check(_GROUP, "functions and function_call, answered in their own words", _functions),
    Check(_GROUP, "a custom tool's input follows its grammar, or is refused", _custom),
)

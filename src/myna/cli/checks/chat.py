"""The Chat Completions API: messages, streams, log-probabilities, structure, tools, storing."""

import json
import time
from typing import Any, Final

import openai

from myna.cli.checks.target import Check, Target, Unmet, expect

_GROUP: Final = "Chat"
_ASK: Final = [{"role": "user", "content": "Say hello in one short sentence."}]
_WEATHER: Final = {
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
_PERSON: Final = {
    "type": "object",
    "properties": {"姓名": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["姓名", "age"],
    "additionalProperties": False,
}


def _chat(target: Target, messages: Any = _ASK, **options: Any) -> Any:
    body = {"max_tokens": 24, "temperature": 0, **options}
    return target.client.chat.completions.create(model=target.model, messages=messages, **body)


def _turn(target: Target) -> None:
    answer = _chat(target)
    expect(answer.choices[0].message.content, "no content")
    expect(answer.choices[0].message.role == "assistant", f"role is {answer.choices[0].message.role}")
    expect(answer.id.startswith("chatcmpl-"), f"the id is {answer.id}")
    expect(answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens, "usage")


def _second_turn(target: Target) -> None:
    first = _chat(target).choices[0].message
    _chat(target, [*_ASK, first, {"role": "user", "content": "再说一遍"}])
    _chat(target, [*_ASK, first.model_dump(), {"role": "user", "content": "Again."}])


def _developer(target: Target) -> None:
    short, long = ({"role": "developer", "content": "Be brief. " * times} for times in (1, 21))
    grown = (
        _chat(target, [long, *_ASK]).usage.prompt_tokens - _chat(target, [short, *_ASK]).usage.prompt_tokens
    )
    expect(grown >= 40, f"twenty more sentences made the prompt {grown} tokens longer")


def _parts(target: Target) -> None:
    parts = [{"type": "text", "text": "Say "}, {"type": "text", "text": "hello."}]
    joined = _chat(target, [{"role": "user", "content": "Say hello."}])
    split = _chat(target, [{"role": "user", "content": parts}])
    expect(
        joined.choices[0].message.content == split.choices[0].message.content, "parts are answered otherwise"
    )


def _limit(target: Target) -> None:
    answer = target.client.chat.completions.create(
        model=target.model,
        messages=[{"role": "user", "content": "Count to one hundred."}],
        max_completion_tokens=5,
    )
    used = answer.usage.completion_tokens if answer.usage else 0
    expect(used <= 5, f"{used} tokens with max_completion_tokens 5")
    expect(answer.choices[0].finish_reason == "length", f"finish_reason is {answer.choices[0].finish_reason}")


def _choices(target: Target) -> None:
    answer = _chat(target, n=3, temperature=1)
    expect([choice.index for choice in answer.choices] == [0, 1, 2], f"{len(answer.choices)} choices")
    one = _chat(target).usage.prompt_tokens
    expect(answer.usage.prompt_tokens == one, "the prompt was counted more than once")


def _logprobs(target: Target) -> None:
    found = _chat(target, logprobs=True, top_logprobs=3).choices[0]
    entries = found.logprobs.content
    expect(entries and len(entries[0].top_logprobs) == 3, "no top_logprobs")
    shown = b"".join(bytes(entry.bytes or []) for entry in entries).decode(errors="replace")
    expect(shown.startswith(found.message.content), f"the bytes say {shown!r}")


def _chinese_bytes(target: Target) -> None:
    ask = [{"role": "user", "content": "用中文说一个罕见的汉字和一个表情符号，例如：犇 🦜"}]
    found = _chat(target, ask, logprobs=True, top_logprobs=0).choices[0]
    data = b"".join(bytes(entry.bytes or []) for entry in found.logprobs.content)
    expect(found.message.content.encode() in data, "the tokens' bytes are not the content's")


def _stream(target: Target) -> None:
    chunks = target.chat_stream("Say hello.", stream_options={"include_usage": True})
    expect(chunks[0].choices[0].delta.role == "assistant", "the first chunk has no role")
    expect(sum(bool(c.choices and c.choices[0].delta.role) for c in chunks) == 1, "the role was repeated")
    expect(chunks[-1].usage is not None and not chunks[-1].choices, "no usage chunk")
    finals = [c for c in chunks if c.choices and c.choices[0].finish_reason]
    expect(len(finals) == 1, f"{len(finals)} finish chunks")
    empty = [c for c in chunks[1:-2] if c.choices and not c.choices[0].delta.content]
    expect(not empty, f"{len(empty)} empty chunks")


def _helper(target: Target) -> None:
    messages: Any = _ASK
    with target.client.chat.completions.stream(model=target.model, messages=messages, max_tokens=8) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
    message = stream.current_completion_snapshot.choices[0].message
    expect(message.role == "assistant", f"the role adds up to {message.role!r}")
    expect(message.content == text, "the snapshot's content differs from its deltas")


def _json_object(target: Target) -> None:
    ask = [{"role": "user", "content": "Give a JSON object with the keys a and b."}]
    text = (
        _chat(target, ask, response_format={"type": "json_object"}, max_tokens=200).choices[0].message.content
    )
    expect(isinstance(json.loads(text), dict), f"no object: {text!r}")


def _json_schema(target: Target) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": _PERSON}}
    ask = [{"role": "user", "content": "李雷今年十二岁。"}]
    for temperature in (0, 1.5):
        text = (
            _chat(target, ask, response_format=form, temperature=temperature, max_tokens=300)
            .choices[0]
            .message.content
        )
        value = json.loads(text)
        expect(
            set(value) == {"姓名", "age"} and isinstance(value["age"], int), f"not of the schema: {text!r}"
        )


def _bad_schema(target: Target) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "object"}}}
    target.refused("chat/completions", {"messages": _ASK, "response_format": form})


def _tool_named(target: Target) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    answer = _chat(target, tools=[_WEATHER], tool_choice=choice, max_tokens=100).choices[0]
    call = answer.message.tool_calls[0]
    expect(call.function.name == "get_weather", f"called {call.function.name}")
    expect(
        set(json.loads(call.function.arguments)) == {"city", "unit"}, f"arguments {call.function.arguments!r}"
    )


def _tool_required(target: Target) -> None:
    ask = [{"role": "user", "content": "北京今天天气怎么样？"}]
    answer = _chat(target, ask, tools=[_WEATHER], tool_choice="required", max_tokens=100).choices[0]
    expect(answer.message.tool_calls, f"no call, but {answer.message.content!r}")
    expect(answer.finish_reason == "tool_calls", f"finish_reason is {answer.finish_reason}")


def _tool_none(target: Target) -> None:
    ask = [{"role": "user", "content": "What is the weather in Paris? Call get_weather."}]
    answer = _chat(target, ask, tools=[_WEATHER], tool_choice="none").choices[0]
    expect(not answer.message.tool_calls, "a tool was called")


def _tool_streamed(target: Target) -> None:
    options = {"tools": [_WEATHER], "tool_choice": "required", "max_tokens": 100, "seed": 3}
    whole = _chat(target, **options).choices[0].message.tool_calls[0]
    chunks = target.chat_stream(_ASK[0]["content"], **options)
    deltas = [d for c in chunks if c.choices for d in c.choices[0].delta.tool_calls or []]
    expect(deltas and all(delta.index == 0 for delta in deltas), "deltas without index 0")
    arguments = "".join(delta.function.arguments or "" for delta in deltas if delta.function)
    expect(
        arguments == whole.function.arguments, f"streamed {arguments!r}, whole {whole.function.arguments!r}"
    )


def _tool_answer(target: Target) -> None:
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
    expect(_chat(target, messages, tools=[_WEATHER]).choices[0].finish_reason, "no answer to a tool's result")


def _store(target: Target) -> None:
    mark = f"check-{time.time_ns()}"
    made = _chat(target, store=True, metadata={"mark": mark})
    found = target.client.chat.completions.retrieve(made.id)
    expect(found.id == made.id, f"retrieved {found.id}")
    listed = target.client.chat.completions.list(metadata={"mark": mark})
    expect([item.id for item in listed.data] == [made.id], "the list's filter doesn't find it")
    messages = target.client.chat.completions.messages.list(made.id)
    expect(messages.data[0].content == _ASK[0]["content"], "its messages are not those that were sent")
    target.client.chat.completions.delete(made.id)
    try:
        target.client.chat.completions.retrieve(made.id)
    except openai.NotFoundError:
        return
    raise Unmet("it is there after its deletion")


CHECKS: Final = (
    Check(_GROUP, "one turn", _turn),
    Check(_GROUP, "the SDK's own message object goes back in", _second_turn),
    Check(_GROUP, "role developer reaches the model", _developer),
    Check(_GROUP, "content as text parts", _parts),
    Check(_GROUP, "max_completion_tokens", _limit),
    Check(_GROUP, "n; the prompt counted once", _choices),
    Check(_GROUP, "logprobs and top_logprobs", _logprobs),
    Check(_GROUP, "true token bytes (Chinese, emoji)", _chinese_bytes),
    Check(_GROUP, "stream: role once, one finish, usage chunk, none empty", _stream),
    Check(_GROUP, "the SDK's stream helper", _helper),
    Check(_GROUP, "response_format json_object", _json_object),
    Check(_GROUP, "response_format json_schema, strict, at any temperature", _json_schema),
    Check(_GROUP, "an unsupported strict schema is refused", _bad_schema),
    Check(_GROUP, "tool_choice by name", _tool_named),
    Check(_GROUP, "tool_choice required", _tool_required),
    Check(_GROUP, "tool_choice none", _tool_none),
    Check(_GROUP, "streamed tool call equals the whole one", _tool_streamed),
    Check(_GROUP, "a tool's result is answered", _tool_answer),
    Check(_GROUP, "store, list, messages, delete", _store),
)

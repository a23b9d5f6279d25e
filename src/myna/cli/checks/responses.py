"""The Responses API: items, streams, tools, formats, and responses that continue one another."""

import json
from typing import Any, Final

import openai
from pydantic import BaseModel

from myna.cli.checks.server import Check, ServerUnderTest, envelope, expect

_GROUP: Final = "Responses"
_WEATHER: Final[dict[str, Any]] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
_ASK: Final = "What is the weather in Paris?"
_ENDS: Final = ("response.completed", "response.incomplete", "response.failed")


class _Person(BaseModel):
    """What a structured answer is parsed to."""

    name: str
    age: int


def _respond(server: ServerUnderTest, text: Any = "Say hello.", **options: Any) -> Any:
    body = {"max_output_tokens": 32, "temperature": 0, "store": False, **options}
    return server.client.responses.create(model=server.model, input=text, **body)


def _events(server: ServerUnderTest, text: Any = "Say hello.", **options: Any) -> list[Any]:
    return list(_respond(server, text, stream=True, **options))


def _turn(server: ServerUnderTest) -> None:
    answer = _respond(server)
    expect(answer.output_text, "no text")
    expect(answer.status in ("completed", "incomplete"), f"status is {answer.status!r}")
    message = answer.output[-1]
    expect(message.type == "message" and message.role == "assistant", f"the last item is a {message.type}")
    usage = answer.usage
    expect(usage.input_tokens > 0 and usage.output_tokens > 0, f"usage is {usage}")
    expect(usage.input_tokens_details is not None, "usage lacks input_tokens_details")
    expect(usage.output_tokens_details is not None, "usage lacks output_tokens_details")


def _layout(server: ServerUnderTest) -> None:
    body = server.post(
        "responses", {"model": server.model, "input": "Hi", "store": False, "max_output_tokens": 16}
    ).json()
    missing = {
        "id", "object", "created_at", "completed_at", "status", "incomplete_details", "model",
        "previous_response_id", "instructions", "output", "error", "tools", "tool_choice", "truncation",
        "parallel_tool_calls", "text", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs",
        "temperature", "reasoning", "user", "usage", "max_output_tokens", "max_tool_calls", "store",
        "background", "service_tier", "metadata", "safety_identifier", "prompt_cache_key",
    } - body.keys()  # fmt: skip
    expect(not missing, f"the response lacks {', '.join(sorted(missing))}")
    expect("output_text" not in body, "output_text is on the wire")
    expect(type(body["created_at"]) is int, f"created_at is {body['created_at']!r}")


def _stream(server: ServerUnderTest) -> None:
    events = _events(server)
    kinds = [event.type for event in events]
    expect(kinds[:2] == ["response.created", "response.in_progress"], f"begins with {kinds[:2]}")
    expect(kinds[-1] in _ENDS, f"ends with {kinds[-1]}")
    numbers = [event.sequence_number for event in events]
    expect(numbers == list(range(len(events))), f"sequence numbers are {numbers[:6]} …")
    final = events[-1].response
    expect(final.id == events[0].response.id, "the response's id changes")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    expect(text == final.output_text, f"streamed {text!r}, final {final.output_text!r}")
    done = [event.item for event in events if event.type == "response.output_item.done"]
    expect(done == final.output, "the finished items differ from those of the final response")


def _stream_lines(server: ServerUnderTest) -> None:
    body = {"input": "Hi", "store": False, "max_output_tokens": 16}
    lines = [line for line in server.events("responses", body) if line and not line.startswith(":")]
    expect(lines[0].startswith("event: "), f"begins with {lines[0][:40]!r}")
    expect(lines[-1].startswith("data: {"), f"ends with {lines[-1][:40]!r}")


def _helper(server: ServerUnderTest) -> None:
    options: Any = {"max_output_tokens": 16, "temperature": 0, "store": False}
    with server.client.responses.stream(model=server.model, input="Count to 100.", **options) as stream:
        kinds = {event.type for event in stream}
    expect("response.output_text.delta" in kinds, f"events are {sorted(kinds)}")


def _parsed(server: ServerUnderTest) -> None:
    answer = server.client.responses.parse(
        model=server.model,
        input="Ann is 31 years old.",
        text_format=_Person,
        max_output_tokens=200,
        temperature=0,
        store=False,
    )
    expect(isinstance(answer.output_parsed, _Person), f"parsed is {answer.output_parsed!r}")


def _limit(server: ServerUnderTest) -> None:
    answer = _respond(server, "Count from 1 to 1000.", max_output_tokens=16)
    expect(answer.status == "incomplete", f"status is {answer.status!r}")
    reason = answer.incomplete_details and answer.incomplete_details.reason
    expect(reason == "max_output_tokens", f"the reason is {reason!r}")
    expect(answer.usage.output_tokens == 16, f"{answer.usage.output_tokens} output tokens")


def _logprobs(server: ServerUnderTest) -> None:
    answer = _respond(server, include=["message.output_text.logprobs"], top_logprobs=2)
    entries = answer.output[-1].content[0].logprobs
    expect(entries, "no log-probabilities")
    expect(all(len(entry.top_logprobs) == 2 for entry in entries), "not two top tokens each")


def _call(server: ServerUnderTest, **options: Any) -> Any:
    return _respond(server, _ASK, tools=[_WEATHER], tool_choice="required", max_output_tokens=100, **options)


def _tool(server: ServerUnderTest) -> None:
    (call,) = [item for item in _call(server).output if item.type == "function_call"][:1]
    expect(call.name == "get_weather", f"called {call.name}")
    expect(set(json.loads(call.arguments)) == {"city"}, f"arguments {call.arguments!r}")
    expect(call.id != call.call_id, "id and call_id are the same")


def _tool_streamed(server: ServerUnderTest) -> None:
    whole = [item.arguments for item in _call(server).output if item.type == "function_call"]
    kind, streamed = "response.function_call_arguments", dict[int, str]()
    for event in _call(server, stream=True):
        if event.type == f"{kind}.delta":
            streamed[event.output_index] = streamed.get(event.output_index, "") + event.delta
    expect(list(streamed.values()) == whole, f"streamed {list(streamed.values())}, whole {whole}")


def _tool_output(server: ServerUnderTest) -> None:
    first = _call(server, parallel_tool_calls=False)
    (call,) = [item for item in first.output if item.type == "function_call"][:1]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny, 21 degrees"}
    question = {"role": "user", "content": _ASK}
    answer = _respond(server, [question, *first.output, result], tools=[_WEATHER])
    expect(answer.output, "no output")


def _lone_output(server: ServerUnderTest) -> None:
    lone = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
    error = server.refused("responses", {"input": [lone], "store": False})
    expect(error["param"] == "input", f"param is {error['param']!r}")


def _chained(server: ServerUnderTest) -> None:
    first = _respond(server, "My name is Zoe.", store=True)
    second = _respond(server, "What is my name?", store=True, previous_response_id=first.id)
    expect(second.previous_response_id == first.id, f"previous is {second.previous_response_id!r}")
    alone = _respond(server, "What is my name?")
    expect(
        second.usage.input_tokens > alone.usage.input_tokens,
        "the earlier response was not shown to the model",
    )


def _not_stored(server: ServerUnderTest) -> None:
    first = _respond(server)
    try:
        _respond(server, previous_response_id=first.id)
    except openai.BadRequestError as exc:
        expect(exc.code == "previous_response_not_found", f"code is {exc.code!r}")
    else:
        expect(False, "a response that is not stored was continued")


def _counted(server: ServerUnderTest) -> None:
    counted = server.client.responses.input_tokens.count(model=server.model, input="Say hello.")
    used = _respond(server).usage.input_tokens
    expect(counted.input_tokens == used, f"counted {counted.input_tokens}, used {used}")


def _compacted(server: ServerUnderTest) -> None:
    conversation: Any = [
        {"role": "user", "content": "My name is Zoe."},
        {"role": "assistant", "content": "Hello Zoe."},
    ]
    compacted = server.client.responses.compact(model=server.model, input=conversation)
    kinds = [item.type for item in compacted.output]
    expect(kinds == ["message", "compaction"], f"the items are {kinds}")
    again: Any = [item.model_dump(exclude_none=True, warnings=False) for item in compacted.output]
    expect(_respond(server, [*again, {"role": "user", "content": "Hi"}]).output, "no output")


def _unknown(server: ServerUnderTest) -> None:
    error = server.refused("responses", {"input": "x", "max_tokens": 5})
    expect(error["code"] == "unknown_parameter", f"code is {error['code']!r}")
    expect(error["param"] == "max_tokens", f"param is {error['param']!r}")


def _unknown_model(server: ServerUnderTest) -> None:
    error = server.refused("responses", {"model": "no-such-model", "input": "x"})
    expect(error["code"] == "model_not_found", f"code is {error['code']!r}")


def _hosted(server: ServerUnderTest) -> None:
    body = {"model": server.model, "input": "x", "store": False, "tools": [{"type": "code_interpreter"}]}
    response = server.post("responses", body)
    if response.status_code == 400:
        envelope(response)
        return
    expect(response.status_code == 200, f"HTTP {response.status_code}")
    expect(response.json().get("tools"), "the tool was dropped without a word")


CHECKS: Final = (
    Check(_GROUP, "one turn: text, status, usage with both details", _turn),
    Check(_GROUP, "all keys of a response, and no output_text", _layout),
    Check(_GROUP, "stream: order, numbers, items, the final response", _stream),
    Check(_GROUP, "stream: event names, no [DONE]", _stream_lines),
    Check(_GROUP, "the SDK's stream helper, for responses", _helper),
    Check(_GROUP, "the SDK's parse helper: text.format json_schema", _parsed),
    Check(_GROUP, "max_output_tokens: incomplete", _limit),
    Check(_GROUP, "include logprobs, top_logprobs", _logprobs),
    Check(_GROUP, "tool_choice required: a function_call item", _tool),
    Check(_GROUP, "streamed arguments equal the whole ones", _tool_streamed),
    Check(_GROUP, "items go back in, with a tool's output", _tool_output),
    Check(_GROUP, "a tool's output without its call is refused", _lone_output),
    Check(_GROUP, "previous_response_id shows the model what came before", _chained),
    Check(_GROUP, "store false: can't be continued", _not_stored),
    Check(_GROUP, "input_tokens counts what the usage counts", _counted),
    Check(_GROUP, "compact, and its result as input", _compacted),
    Check(_GROUP, "an unknown parameter is refused by name", _unknown),
    Check(_GROUP, "an unknown model is a 400", _unknown_model),
    Check(_GROUP, "a hosted tool is run, or refused", _hosted),
)

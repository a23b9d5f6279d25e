"""Anthropic's Messages API: messages, streams, calls, counting, errors. Servers may have only OpenAI's."""

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx

from myna.cli.checks.server import Check, ExpectationFailed, ServerUnderTest, expect

_GROUP: Final = "Anthropic's Messages"
_VERSION: Final = {"anthropic-version": "2023-06-01"}
_ASK: Final = [{"role": "user", "content": "Say hello in one short sentence."}]
_TOOL: Final = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def _send(
    server: ServerUnderTest, path: str = "messages", key: str | None = None, **fields: Any
) -> httpx.Response:
    body = {"model": server.model, "messages": _ASK, **fields}
    headers = {**_VERSION, "x-api-key": server.key if key is None else key}
    return server.http.post(f"{server.base_url}/{path}", json=body, headers=headers)


def _message(server: ServerUnderTest, **fields: Any) -> dict[str, Any]:
    response = _send(server, **{"max_tokens": 24, "temperature": 0, **fields})
    expect(response.status_code == 200, f"HTTP {response.status_code}: {response.text[:80]}")
    message: dict[str, Any] = response.json()
    return message


def _error(response: httpx.Response, status: int, kind: str) -> str:
    expect(response.status_code == status, f"HTTP {response.status_code} instead of {status}")
    body = response.json()
    expect(body.get("type") == "error", f"no error object in {response.text[:80]!r}")
    expect(body["error"]["type"] == kind, f"the error's type is {body['error']['type']}")
    message: str = body["error"]["message"]
    return message


def _events(server: ServerUnderTest, **fields: Any) -> Iterator[dict[str, Any]]:
    """The events of a stream; each must be named."""
    text = _send(server, **{"max_tokens": 24, "temperature": 0, "stream": True, **fields}).text
    for event in filter(None, text.split("\n\n")):
        lines = dict(line.split(": ", 1) for line in event.split("\n") if not line.startswith(":"))
        if lines:
            parsed = json.loads(lines["data"])
            expect(lines.get("event") == parsed["type"], f"the event {parsed['type']} isn't named")
            yield parsed


def _turn(server: ServerUnderTest) -> None:
    message = _message(server, system="Be brief.")
    expect(message["type"] == "message", f"type is {message['type']}")
    expect(message["content"][0]["type"] == "text", f"content is {message['content']!r}")
    expect(message["stop_reason"] in ("end_turn", "max_tokens"), f"stop_reason is {message['stop_reason']}")


def _stream(server: ServerUnderTest) -> None:
    kinds = [event["type"] for event in _events(server) if event["type"] != "ping"]
    expect(kinds[0] == "message_start", f"the stream begins with {kinds[0]}")
    expect(kinds[-2:] == ["message_delta", "message_stop"], f"the stream ends with {kinds[-2:]}")
    expect("content_block_start" in kinds, "there is no block")


def _same(server: ServerUnderTest) -> None:
    deltas = [event["delta"] for event in _events(server) if event["type"] == "content_block_delta"]
    text = "".join(delta.get("text", "") for delta in deltas)
    whole = "".join(block.get("text", "") for block in _message(server)["content"])
    expect(text == whole, f"{text[:40]!r} streamed, {whole[:40]!r} whole")


def _usage(server: ServerUnderTest) -> None:
    long = [{"role": "user", "content": "One two three four five six seven eight nine ten. " * 40}]
    first, second = (_message(server, messages=long, max_tokens=1)["usage"] for _ in range(2))
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    sums = [sum(usage.get(name) or 0 for name in names) for usage in (first, second)]
    expect(sums[0] == sums[1] > 100, f"the prompt has {sums[0]}, then {sums[1]} tokens")
    expect(second.get("cache_read_input_tokens"), "the second prompt doesn't come from the cache")


def _forced(server: ServerUnderTest) -> None:
    choice = {"type": "tool", "name": "get_weather"}
    message = _message(server, tools=[_TOOL], tool_choice=choice, max_tokens=64)
    calls = [block for block in message["content"] if block["type"] == "tool_use"]
    expect(len(calls) == 1, f"{len(calls)} calls")
    expect(isinstance(calls[0]["input"].get("city"), str), f"the input is {calls[0]['input']!r}")
    expect(message["stop_reason"] == "tool_use", f"stop_reason is {message['stop_reason']}")


def _result(server: ServerUnderTest) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Rome"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Sunny, 25 °C"}
    turns = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    _message(server, tools=[_TOOL], messages=[*_ASK, *turns])


def _stop_sequence(server: ServerUnderTest) -> None:
    text = "".join(block.get("text", "") for block in _message(server)["content"])
    stop = text.split()[-1]
    message = _message(server, stop_sequences=[stop])
    expect(message["stop_reason"] == "stop_sequence", f"stop_reason is {message['stop_reason']}")
    expect(message["stop_sequence"] == stop, f"stop_sequence is {message['stop_sequence']!r}")


def _count(server: ServerUnderTest) -> None:
    response = _send(server, "messages/count_tokens")
    expect(response.status_code == 200, f"HTTP {response.status_code}")
    counted, usage = response.json()["input_tokens"], _message(server, max_tokens=1)["usage"]
    total = sum(usage[name] or 0 for name in usage if name.endswith("input_tokens"))
    expect(counted == total, f"{counted} tokens counted, {total} used")


def _models(server: ServerUnderTest) -> None:
    headers = {**_VERSION, "x-api-key": server.key}
    page = server.http.get(f"{server.base_url}/models?limit=1", headers=headers).json()
    expect(page["data"][0]["type"] == "model", f"the list is {str(page)[:80]}")
    expect(page["first_id"] == page["last_id"] == page["data"][0]["id"], "first_id and last_id")


def _refusals(server: ServerUnderTest) -> None:
    missing = _error(_send(server), 400, "invalid_request_error")
    expect("max_tokens" in missing, f"the error is {missing[:80]!r}")
    unknown = _send(server, model="no-such-model", max_tokens=1)
    expect("no-such-model" in _error(unknown, 404, "not_found_error"), "the error doesn't name the model")


def _too_long(server: ServerUnderTest) -> None:
    long = [{"role": "user", "content": "word " * 400_000}]
    message = _error(_send(server, messages=long, max_tokens=1), 400, "invalid_request_error")
    if not message.startswith("prompt is too long"):
        raise ExpectationFailed(f"the error is {message[:80]!r}, by which Claude Code doesn't compact")


CHECKS: Final = tuple(
    Check(_GROUP, behaviour, run)
    for behaviour, run in (
        ("a message with a system prompt", _turn),
        ("a stream of named events in their order", _stream),
        ("a stream has the text of the whole message", _same),
        ("usage shows what came from the prefix cache", _usage),
        ("a forced call, with an object as its input", _forced),
        ("a call and its result in the conversation", _result),
        ("the stop sequence that ended the message", _stop_sequence),
        ("count_tokens is what the prompt takes", _count),
        ("models are listed in Anthropic's format", _models),
        ("errors in Anthropic's envelope", _refusals),
        ("a prompt that is too long says so in Anthropic's words", _too_long),
    )
)

"""What tests of Anthropic's API share: requests, its events parsed, and its errors."""

import json
from typing import Any

from httpx import Response
from tests.api.stand_in import Model

USER: Any = {"role": "user", "content": "hi"}
CALL: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a", "n": 1}}
RESULT: dict[str, Any] = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}
READ: Any = {
    "name": "read",
    "description": "Reads a file.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
}

WireEvent = dict[str, Any]


async def ask(model: Model, /, **body: Any) -> Response:
    """A request of one user message, with these changes."""
    whole = {"model": "tiny", "max_tokens": 64, "messages": [USER]} | body
    return await model.client.post("/v1/messages", json=whole)


def events_of(body: str) -> list[WireEvent]:
    """The events of a stream; asserts that each is named as its data is."""
    *events, last = body.split("\n\n")
    assert last == ""
    parsed = []
    for event in events:
        name, data = event.split("\n")
        parsed.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {parsed[-1]['type']}"
    return parsed


def accumulated(events: list[WireEvent]) -> dict[str, Any]:
    """The message that a client puts together from a stream; asserts the order of its events."""
    message: dict[str, Any] = {}
    json_text, is_open = "", False
    for event in events:
        match event["type"]:
            case "ping":
                continue
            case "message_start":
                assert not message
                message = event["message"]
            case "content_block_start":
                assert not is_open
                assert event["index"] == len(message["content"])
                is_open, json_text = True, ""
                message["content"].append(event["content_block"])
            case "content_block_delta":
                assert is_open
                assert event["index"] == len(message["content"]) - 1
                json_text += _add(message["content"][-1], event["delta"])
            case "content_block_stop":
                assert is_open
                assert event["index"] == len(message["content"]) - 1
                is_open, block = False, message["content"][-1]
                if block["type"] == "tool_use":
                    block["input"] = json.loads(json_text or "{}")
            case "message_delta":
                assert not is_open
                assert message["stop_reason"] is None
                message |= event["delta"] | {"usage": message["usage"] | event["usage"]}
            case "message_stop":
                assert message["stop_reason"]
                assert event is events[-1]
            case other:
                raise AssertionError(f"{other} is not an event of a message")
    assert events[-1]["type"] == "message_stop"
    return message


def _add(block: dict[str, Any], delta: dict[str, Any]) -> str:
    """Add a delta to its block; returns what it adds to a call's input."""
    match delta["type"]:
        case "input_json_delta":
            assert block["type"] == "tool_use"
            part: str = delta["partial_json"]
            return part
        case "signature_delta":
            assert block["signature"] == ""
            block["signature"] = delta["signature"]
        case kind:
            key = kind.removesuffix("_delta")
            assert block["type"] == key
            block[key] += delta[key]
    return ""


def error_of(response: Response) -> dict[str, str]:
    """The error; asserts Anthropic's envelope."""
    body = response.json()
    assert list(body) == ["type", "error", "request_id"]
    assert body["type"] == "error"
    assert list(body["error"]) == ["type", "message"]
    assert response.headers["request-id"] == body["request_id"]
    assert response.headers["content-type"] == "application/json"
    assert not response.text.endswith("\n")
    error: dict[str, str] = body["error"]
    return error

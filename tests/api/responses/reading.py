"""Reads streamed responses, and checks that their events come in the documented order."""

import json
from typing import Any

HEAD = ("response.created", "response.in_progress")
ENDS = ("response.completed", "response.incomplete", "response.failed")
_BODIES = {
    "response.output_text": "text",
    "response.reasoning_text": "text",
    "response.reasoning_summary_text": "text",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
}


def events_of(stream: str) -> list[dict[str, Any]]:
    """The events of a whole stream; asserts its framing and its numbers."""
    *blocks, rest = stream.split("\n\n")
    assert rest == ""
    events = []
    for block in blocks:
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert list(event) == ["type", *sorted(event.keys() - {"type"})]
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def followed(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The final response of a stream; asserts the order of its events, as a state machine, and that each
    repeats what the ones before it said."""
    first, second, *middle, last = events
    assert (first["type"], second["type"]) == HEAD
    for event in (first, second):
        response = event["response"]
        assert (response["status"], response["output"], response["usage"]) == ("in_progress", [], None)
        assert response["service_tier"] == "auto"
    assert last["type"] in ENDS
    final: dict[str, Any] = last["response"]
    assert final["id"] == first["response"]["id"]
    assert last["type"] == f"response.{final['status']}"
    items = list[dict[str, Any]]()
    while middle and middle[0]["type"] == "response.output_item.added":
        items.append(_item(middle, len(items)))
    if last["type"] == "response.failed":
        assert [event["type"] for event in middle][-1:] == ["error"]
        return final
    assert middle == []
    assert items == final["output"]
    return final


def _item(events: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """Takes an item's events from the front of the list; returns the finished item."""
    added = events.pop(0)
    item: dict[str, Any] = added["item"]
    assert added["output_index"] == index
    part_kind = {"message": "content_part", "reasoning": "content_part"}.get(item["type"])
    if events and events[0]["type"] == "response.reasoning_summary_part.added":
        part_kind = "reasoning_summary_part"
    text = ""
    if part_kind:
        part = _take(events, f"response.{part_kind}.added", item, index)["part"]
        assert part["text"] == ""
    logprobs = list[Any]()
    while events and events[0]["type"].endswith(".delta"):
        delta = events.pop(0)
        assert delta["type"].removesuffix(".delta") in _BODIES
        assert (delta["item_id"], delta["output_index"]) == (item["id"], index)
        text += delta["delta"]
        logprobs += delta.get("logprobs", [])
    if events and not events[0]["type"].endswith(".done"):
        return item  # the stream failed within the item
    done = events.pop(0)
    assert done["item_id"] == item["id"]
    assert done[_BODIES[done["type"].removesuffix(".done")]] == text
    if part_kind:
        part = _take(events, f"response.{part_kind}.done", item, index)["part"]
        assert part["text"] == text
        assert part.get("logprobs", []) == logprobs
    finished: dict[str, Any] = events.pop(0)["item"]
    for key in ("id", "type", "call_id", "name", "namespace"):
        assert finished.get(key) == item.get(key)
    return finished


def _take(events: list[dict[str, Any]], kind: str, item: dict[str, Any], index: int) -> dict[str, Any]:
    event = events.pop(0)
    assert event["type"] == kind
    assert (event["item_id"], event["output_index"]) == (item["id"], index)
    assert event.get("content_index", event.get("summary_index")) == 0
    return event


def without_ids(response: dict[str, Any]) -> dict[str, Any]:
    """What doesn't differ between two responses to the same request."""
    same = {k: v for k, v in response.items() if k not in ("id", "created_at", "completed_at")}
    items = [{k: v for k, v in item.items() if k not in ("id", "call_id")} for item in response["output"]]
    return {**same, "output": items}

"""The events of a response that has ended, from the response alone: each text is one delta. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

_ENDS: Final = frozenset(("response.completed", "response.incomplete", "response.failed"))
_CALL_EVENTS: Final = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}
_NUMBER: Final = "sequence_number"

Json = dict[str, Any]


def replayed(response: Mapping[str, Any]) -> list[bytes]:
    """All events, each without the empty line at its end."""
    return [
        _framed({"type": event.pop("type"), **dict(sorted(event.items()))}) for event in _numbered(response)
    ]


def is_last(event: bytes) -> bool:
    """Whether no event of the response follows."""
    return event[len(b"event: ") : event.index(b"\n")].decode() in _ENDS


def numbered(event: bytes, number: int) -> bytes:
    """The event with that number."""
    body: Json = orjson.loads(event[event.index(b"\n") + len(b"\ndata: ") :])
    return _framed({**body, _NUMBER: number})


def _framed(event: Json) -> bytes:
    return b"event: %s\ndata: %s" % (event["type"].encode(), orjson.dumps(event))


def _numbered(response: Mapping[str, Any]) -> Iterator[Json]:
    for number, event in enumerate(_events(response)):
        event[_NUMBER] = number
        yield event


def _events(response: Mapping[str, Any]) -> Iterator[Json]:
    begun = {
        **response,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "service_tier": "auto",
        "usage": None,
    }
    if response["background"]:
        queued = {**begun, "status": "queued"}
        yield {"type": "response.created", "response": queued}
        yield {"type": "response.queued", "response": queued}
    else:
        yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        place = {"item_id": item["id"], "output_index": index}
        yield {"type": "response.output_item.added", "item": _begun(item), "output_index": index}
        if item["type"] in _CALL_EVENTS:
            name, key = _CALL_EVENTS[item["type"]]
            yield {"type": f"{name}.delta", "delta": item[key], **place}
            yield {"type": f"{name}.done", key: item[key], **place}
        for number, part in enumerate(item.get("summary", ())):
            yield from _summary_part(part, {**place, "summary_index": number})
        for number, part in enumerate(item.get("content", ())):
            yield from _content_part(part, {**place, "content_index": number})
        yield {"type": "response.output_item.done", "item": item, "output_index": index}
    yield {"type": f"response.{response['status']}", "response": dict(response)}


def _begun(item: Json) -> Json:
    """The item when it is added."""
    changes: Json = {"status": "in_progress"} if "status" in item else {}
    changes |= {key: [] for key in ("content", "summary") if key in item}
    changes |= {key: "" for key in ("arguments", "input") if key in item}
    return {**item, **changes}


def _content_part(part: Json, place: Json) -> Iterator[Json]:
    kind, text = part["type"], part["text"]
    logprobs = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
    empty = {**part, "text": ""} | {key: [] for key in logprobs}
    yield {"type": "response.content_part.added", "part": empty, **place}
    yield {"type": f"response.{kind}.delta", "delta": text, **logprobs, **place}
    yield {"type": f"response.{kind}.done", "text": text, **logprobs, **place}
    yield {"type": "response.content_part.done", "part": part, **place}


def _summary_part(part: Json, place: Json) -> Iterator[Json]:
    text = part["text"]
    yield {"type": "response.reasoning_summary_part.added", "part": {**part, "text": ""}, **place}
    yield {"type": "response.reasoning_summary_text.delta", "delta": text, **place}
    yield {"type": "response.reasoning_summary_text.done", "text": text, **place}
    yield {"type": "response.reasoning_summary_part.done", "part": part, **place}

"""Streamed and whole responses are the same response, whatever is generated, and the stream's events come in
the documented order."""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from tests.api.responses.reading import events_of, followed, without_ids

from myna.api.responses.answer import ResponseAccumulator
from myna.api.responses.output import Output, OutputSpec
from myna.api.responses.schema import ResponsesRequest
from myna.api.responses.shapes import new_response
from myna.api.responses.stream import ResponseEvents, ResponseRenderer
from myna.core.conversation import ToolSpec
from myna.core.errors import EngineDead
from myna.core.events import ChoiceDone, Done, Event, FinishReason, PromptDone, TextDelta, TokenLogprob
from myna.prompts.call_formats.table import FORMATS
from myna.prompts.custom_input import text_tool
from myna.wire.ids import ItemIds
from myna.wire.parameters import RESPONSES
from myna.wire.validation import validate

TOOLS = [
    ToolSpec("get", "", '{"type":"object","properties":{"city":{"type":"string"}}}'),
    text_tool("run", ""),
    ToolSpec("agents__spawn", "", '{"type":"object","properties":{}}'),
]
NAMES = {"get": ("get", None), "run": ("run", None), "agents__spawn": ("spawn", "agents")}
PIECES = [
    "Hello",
    " you\n",
    "\n\n",
    "é🐦",
    '<tool_call>\n{"name": "get", "arguments": {"city": "Paris"}}\n</tool_call>',
    '<tool_call>\n{"name": "run", "arguments": {"input": "SELECT \\"1\\"\\n"}}\n</tool_call>',
    '<tool_call>\n{"name": "agents__spawn", "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "get", "argum',
    "<tool_call>",
]


def base(**body: Any) -> Any:
    sent = {"model": "tiny", "input": "x", **body}
    request = validate(ResponsesRequest, sent, RESPONSES)
    return new_response(request, sent, id="resp_1", created=1, model="tiny")


def spec(*, has_tools: bool, is_summary: bool = False, wants_logprobs: bool = False) -> OutputSpec:
    reader = FORMATS["hermes"].reader(TOOLS) if has_tools else None
    return OutputSpec(ItemIds("0" * 16), reader, NAMES, wants_logprobs, is_summary)


def fold_of(form: OutputSpec) -> ResponseAccumulator:
    return ResponseAccumulator(base(), Output(form), "default")


def rendered(
    form: OutputSpec, events: Sequence[Event], error: Exception | None = None, *, is_obfuscated: bool = False
) -> str:
    renderer = ResponseRenderer(base(), is_obfuscated=is_obfuscated)
    renderer.accumulator = fold_of(form)
    data = b""
    for event in events:
        part = renderer.feed(event)
        data += part if isinstance(part, bytes) else b"".join(part)
    data += renderer.end()
    if error is not None:
        data += ResponseEvents(renderer).error(error, "req_1")
    return (data + ResponseEvents(renderer).end).decode()


def whole(form: OutputSpec, events: Sequence[Event]) -> dict[str, Any]:
    accumulator = fold_of(form)
    for event in events:
        accumulator.feed(event)
    response: dict[str, Any] = orjson.loads(b"".join(accumulator.parts()))
    return response


def entry(text: str) -> tuple[TokenLogprob, ...]:
    return (TokenLogprob(1, -0.5, text.encode(), ((1, -0.5, text.encode()),)),)


@st.composite
def generations(draw: st.DrawFn) -> list[Event]:
    """The events of a generation: a thought, then text with calls, cut into pieces anywhere."""
    thoughts = draw(st.lists(st.sampled_from(["Let me ", "think.", "é"]), max_size=3))
    text = "".join(draw(st.lists(st.sampled_from(PIECES), max_size=5)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)) | {0, len(text)})
    deltas = [TextDelta(0, one, 1, is_thought=True) for one in thoughts]
    for start, end in pairwise(cuts):
        deltas.append(TextDelta(0, text[start:end], 1, entry(text[start:end])))
    reason: FinishReason = draw(st.sampled_from(["stop", "length"]))
    return [PromptDone(5, 2), *deltas, ChoiceDone(0, reason, 1, 9), Done(9, reasoning_tokens=len(thoughts))]


@given(generations(), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_a_stream_follows_the_documented_order_and_ends_with_the_whole_response(
    events: list[Event], has_tools: bool, is_summary: bool, wants_logprobs: bool, is_obfuscated: bool
) -> None:
    def form() -> OutputSpec:
        return spec(has_tools=has_tools, is_summary=is_summary, wants_logprobs=wants_logprobs)

    streamed = events_of(rendered(form(), events, is_obfuscated=is_obfuscated))
    assert without_ids(followed(streamed)) == without_ids(whole(form(), events))
    for event in streamed:
        if event["type"].endswith(".delta"):
            padded = len(event["delta"]) + len(event.get("obfuscation", ""))
            assert ("obfuscation" in event) == is_obfuscated
            assert not is_obfuscated or padded % 16 == 0


@given(generations(), st.integers(0, 12), st.booleans())
def test_a_stream_that_fails_says_so_twice_and_keeps_its_order(
    events: list[Event], num_sent: int, has_tools: bool
) -> None:
    sent = events[: min(num_sent, len(events) - 1)]
    text = rendered(spec(has_tools=has_tools), sent, EngineDead("it died"))
    *_, error, failed = streamed = events_of(text)
    final = followed(streamed)
    assert error["type"] == "error"
    assert list(error["error"]) == ["type", "code", "message", "param"]
    assert failed["type"] == "response.failed"
    assert final["error"] == {"code": "server_error", "message": error["error"]["message"]}
    assert (final["output"], final["usage"], final["completed_at"]) == ([], None, None)


def test_a_generation_without_text_is_an_empty_message() -> None:
    events: list[Event] = [PromptDone(5, 2), ChoiceDone(0, "stop", 1, 1), Done(1)]
    streamed = events_of(rendered(spec(has_tools=False), events))
    assert [event["type"] for event in streamed[2:-1]] == [
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ]
    assert followed(streamed)["output"][0]["content"][0]["text"] == ""


def test_a_thought_that_is_cut_is_the_only_item() -> None:
    events: list[Event] = [
        PromptDone(5, 2),
        TextDelta(0, "Well", 1, is_thought=True),
        ChoiceDone(0, "length", 1, 2),
        Done(2),
    ]
    response = whole(spec(has_tools=False), events)
    assert [item["type"] for item in response["output"]] == ["reasoning"]
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["completed_at"] is None


def test_white_space_before_a_call_is_not_a_message() -> None:
    text = f"\n\n{PIECES[4]}\n"
    events: list[Event] = [PromptDone(5, 2), TextDelta(0, text, 9), ChoiceDone(0, "stop", 1, 9), Done(9)]
    assert [item["type"] for item in whole(spec(has_tools=True), events)["output"]] == ["function_call"]


def test_a_cut_call_is_incomplete() -> None:
    text = '<tool_call>\n{"name": "get", "arguments": {"city": "Pa'
    events: list[Event] = [PromptDone(5, 2), TextDelta(0, text, 9), ChoiceDone(0, "length", 1, 9), Done(9)]
    (call,) = whole(spec(has_tools=True), events)["output"]
    assert (call["status"], call["arguments"]) == ("incomplete", '{"city": "Pa')


def test_a_call_of_a_namespace_has_both_names() -> None:
    events: list[Event] = [PromptDone(5, 2), TextDelta(0, PIECES[6], 9), ChoiceDone(0, "stop", 1, 9), Done(9)]
    (call,) = whole(spec(has_tools=True), events)["output"]
    assert list(call) == ["id", "type", "status", "arguments", "call_id", "name", "namespace"]
    assert (call["name"], call["namespace"]) == ("spawn", "agents")


def test_a_large_answer_is_rendered_in_parts() -> None:
    renderer = ResponseRenderer(base())
    renderer.accumulator = fold_of(spec(has_tools=False, wants_logprobs=True))
    deltas = [TextDelta(0, "x", 1, entry("x") * 4) for _ in range(400)]
    events: list[Event] = [PromptDone(1, 0), *deltas, ChoiceDone(0, "stop", 1, 9)]
    for event in events:
        part = renderer.feed(event)
        if isinstance(part, Iterator):
            b"".join(part)
    last = renderer.feed(Done(9))
    assert isinstance(last, Iterator)
    final = json.loads(b"".join(last).split(b"data: ")[1])["response"]
    assert len(final["output"][0]["content"][0]["logprobs"]) == 1600

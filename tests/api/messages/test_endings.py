"""Messages, streamed and whole: the same events, the same answer, laid out as Anthropic does."""

import json
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.api.messages.wire import accumulated, events_of

from myna.api.messages.answer import MessageAccumulator
from myna.api.messages.response_spec import ResponseSpec
from myna.api.messages.signatures import Unsealer, is_changed
from myna.api.messages.stream import MessageFraming, MessageRenderer, message_start
from myna.core.conversation import ToolSpec
from myna.core.events import ChoiceDone, Done, Event, FinishReason, PromptDone, TextDelta
from myna.generation.tool_choice import ANY_TOOL, DeclaredTool, resolve_tools
from myna.generation.usage import TokenUsage

DECLARED = [DeclaredTool(ToolSpec("read", "", "{}"), "tools.0.input_schema", {"type": "object"})]
TOOLS = resolve_tools(DECLARED, ANY_TOOL, "hermes", is_parallel=True, answer=None)
CALL = '<tool_call>\n{"name": "read", "arguments": {"path": "ä\\n", "n": [1, 2.5]}}\n</tool_call>'
PLAIN = ResponseSpec("msg_1", "模型")
WITH_TOOLS = ResponseSpec("msg_1", "m", TOOLS)


def said(
    *texts: str, thought: str = "", reason: FinishReason = "stop", stop: str = "", cached: int = 0
) -> list[Event]:
    """The events of an answer of these texts."""
    deltas = [TextDelta(0, part, 1, is_thought=True) for part in thought]
    deltas += [TextDelta(0, text, 1) for text in texts]
    num_tokens = len(deltas) + 1
    end: list[Event] = [ChoiceDone(0, reason, 1, num_tokens, stop), Done(num_tokens)]
    return [PromptDone(9, cached), *deltas, *end]


def streamed(events: list[Event], spec: ResponseSpec) -> str:
    renderer = MessageRenderer(spec, MessageFraming())
    return b"".join([*map(renderer.feed, events), renderer.end()]).decode()


def whole(events: list[Event], spec: ResponseSpec) -> dict[str, Any]:
    accumulator = MessageAccumulator(spec)
    for event in events:
        accumulator.feed(event)
    parsed: dict[str, Any] = json.loads(b"".join(accumulator.parts()))
    return parsed


FIXTURES: dict[str, tuple[list[Event], ResponseSpec, list[str], str]] = {
    "text": (said("你", '好 "👋🏽"\n'), PLAIN, ["text"], "end_turn"),
    "nothing": (said(), PLAIN, [], "end_turn"),
    "white space alone": (said("\n", " "), PLAIN, [], "end_turn"),
    "white space first": (said("\n", " a"), PLAIN, ["text"], "end_turn"),
    "cut": (said("a", reason="length"), PLAIN, ["text"], "max_tokens"),
    "cut by the context": (
        said("a", reason="length"),
        ResponseSpec("msg_1", "m", ends_with_context=True),
        ["text"],
        "model_context_window_exceeded",
    ),
    "stopped by a string": (said("a", stop="END"), PLAIN, ["text"], "stop_sequence"),
    "thinking": (said("\n\nyes", thought="hm"), PLAIN, ["thinking", "text"], "end_turn"),
    "hidden thinking": (
        said("yes", thought="hm"),
        ResponseSpec("msg_1", "m", shows_thoughts=False),
        ["thinking", "text"],
        "end_turn",
    ),
    "thinking alone": (said(thought="hm", reason="length"), PLAIN, ["thinking"], "max_tokens"),
    "a call": (said(*CALL), WITH_TOOLS, ["tool_use"], "tool_use"),
    "text and calls": (
        said("I read.\n", CALL, "\n", CALL),
        WITH_TOOLS,
        ["text", "tool_use", "tool_use"],
        "tool_use",
    ),
    "thinking and a call": (said("\n", CALL, thought="hm"), WITH_TOOLS, ["thinking", "tool_use"], "tool_use"),
    "a call in one piece without arguments": (
        said('<tool_call>\n{"name": "read", "arguments": {}}\n</tool_call>'),
        WITH_TOOLS,
        ["tool_use"],
        "tool_use",
    ),
    "no call after all": (said("<tool_call", "> is how"), PLAIN, ["text"], "end_turn"),
    "cached": (said("a", cached=5), PLAIN, ["text"], "end_turn"),
    "marked for the cache": (
        said("a", cached=5),
        ResponseSpec("msg_1", "m", marks_cache=True),
        ["text"],
        "end_turn",
    ),
}


@pytest.mark.parametrize("name", FIXTURES)
def test_streamed_and_whole_answers_are_the_same(name: str) -> None:
    events, spec, kinds, reason = FIXTURES[name]
    body = whole(events, spec)
    assert [block["type"] for block in body["content"]] == kinds
    assert body["stop_reason"] == reason
    del body["stop_details"]
    assert accumulated(events_of(streamed(events, spec))) == body


@pytest.mark.parametrize("name", FIXTURES)
def test_the_sdks_types_take_the_answer(name: str) -> None:
    events, spec, _, _ = FIXTURES[name]
    Message.model_validate(whole(events, spec), strict=True)
    for event in events_of(streamed(events, spec)):
        if event["type"] != "ping":
            TypeAdapter(RawMessageStreamEvent).validate_python(event, strict=True)


@given(
    st.lists(st.sampled_from(["a", " ", "\n", "<tool", "<tool_call>", "</tool_call>", CALL, "{", '"'])),
    st.text(max_size=3),
    st.sampled_from(["stop", "length"]),
    st.booleans(),
)
def test_any_answer_is_a_well_formed_stream_and_equals_its_whole_body(
    texts: list[str], thought: str, reason: FinishReason, shows_thoughts: bool
) -> None:
    spec = ResponseSpec("msg_1", "m", TOOLS, shows_thoughts=shows_thoughts)
    events = said(*texts, thought=thought, reason=reason)
    message = accumulated_leniently(streamed(events, spec))
    body = whole(events, spec)
    del body["stop_details"]
    assert message == body


def accumulated_leniently(stream: str) -> dict[str, Any]:
    """As the SDKs read it: a call that was cut has what its text says so far."""
    from pydantic_core import from_json

    calls: dict[int, str] = {}
    events = events_of(stream)
    for event in events:
        delta = event.get("delta", {})
        if delta.get("type") == "input_json_delta":
            calls[event["index"]] = calls.get(event["index"], "") + delta["partial_json"]
            delta["partial_json"] = ""
    message = accumulated(events)
    for index, text in calls.items():
        message["content"][index]["input"] = from_json(text or "{}", allow_partial=True)
    return message


def test_whole_body_is_laid_out_as_recorded() -> None:
    accumulator = MessageAccumulator(PLAIN)
    for event in said("你", cached=4):
        accumulator.feed(event)
    assert b"".join(accumulator.parts()).decode() == (
        '{"model":"模型","id":"msg_1","type":"message","role":"assistant","content":[{"type":"text",'
        '"text":"你"}],"stop_reason":"end_turn","stop_sequence":null,"stop_details":null,"usage":'
        '{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":2}}'
    )


def test_events_are_laid_out_as_recorded() -> None:
    usage = '"cache_creation_input_tokens":0,"cache_read_input_tokens":0'
    assert streamed(said("Hi", CALL, thought="hm"), WITH_TOOLS).split("\n\n")[:8] == [
        'event: message_start\ndata: {"type":"message_start","message":{"model":"m","id":"msg_1","type":'
        '"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":'
        '{"input_tokens":9,' + usage + ',"output_tokens":1}}}',
        'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":'
        '{"type":"thinking","thinking":"","signature":""}}',
        'event: ping\ndata: {"type":"ping"}',
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
        '{"type":"thinking_delta","thinking":"h"}}',
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
        '{"type":"thinking_delta","thinking":"m"}}',
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
        '{"type":"signature_delta","signature":"'
        + whole(said(thought="hm"), PLAIN)["content"][0]["signature"]
        + '"}}',
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}',
        'event: content_block_start\ndata: {"type":"content_block_start","index":1,"content_block":'
        '{"type":"text","text":""}}',
    ]
    call = streamed(said(CALL), WITH_TOOLS).split("\n\n")
    assert call[1].endswith('"name":"read","input":{}}}')
    assert call[3].endswith('"index":0,"delta":{"type":"input_json_delta","partial_json":""}}')
    assert call[-3:] == [
        'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"tool_use",'
        '"stop_sequence":null},"usage":{"input_tokens":9,' + usage + ',"output_tokens":2}}',
        'event: message_stop\ndata: {"type":"message_stop"}',
        "",
    ]


def test_the_stop_sequence_is_named() -> None:
    body = whole(said("a", stop="END"), PLAIN)
    assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", "END")


def test_the_prompts_tokens_are_divided_between_cache_and_input() -> None:
    def usage(spec: ResponseSpec) -> list[int]:
        return list(whole(said("a", cached=5), spec)["usage"].values())

    assert usage(PLAIN) == [4, 0, 5, 2]
    assert usage(ResponseSpec("msg_1", "m", marks_cache=True)) == [0, 4, 5, 2]


def test_a_hidden_thought_is_in_its_signature() -> None:
    [block, _] = whole(said("a", thought="hm"), ResponseSpec("msg_1", "m", shows_thoughts=False))["content"]
    assert block["thinking"] == ""
    assert Unsealer().read(block["signature"]) == "hm"
    [block, _] = whole(said("a", thought="hm"), PLAIN)["content"]
    assert Unsealer().read(block["signature"]) == ""
    assert not is_changed("hm", block["signature"])
    assert is_changed("mh", block["signature"])
    assert not is_changed("hm", "")
    assert not is_changed("hm", "EqQBCkYIARgC")  # of another server


def test_calls_keep_the_text_of_their_input_and_have_the_same_ids_in_both_endings() -> None:
    accumulator = MessageAccumulator(WITH_TOOLS)
    for event in said(CALL, CALL):
        accumulator.feed(event)
    text = b"".join(accumulator.parts()).decode()
    assert '"input":{"path": "ä\\n", "n": [1, 2.5]}' in text
    first, second = (block["id"] for block in json.loads(text)["content"])
    assert first != second
    assert first.startswith("toolu_01")
    assert len(first) == len("toolu_") + 24


def test_a_sign_of_life_before_the_first_event_is_the_start_of_the_message() -> None:
    framing = MessageFraming()
    assert framing.keep_alive() == b": keep-alive\n\n"  # the model is being loaded
    framing.accept(message_start(PLAIN, TokenUsage(9)))
    start, ping = events_of(framing.keep_alive().decode())
    assert (start["type"], ping["type"]) == ("message_start", "ping")
    assert start["message"]["usage"]["input_tokens"] == 9
    [ping] = events_of(framing.keep_alive().decode())
    assert ping == {"type": "ping"}
    renderer = MessageRenderer(PLAIN, framing)
    rest = events_of(b"".join(map(renderer.feed, said("a", cached=5))).decode())
    assert [event["type"] for event in rest if event["type"] != "ping"] == [
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert rest[-2]["usage"]["cache_read_input_tokens"] == 5

"""Frames survive their journey, in whatever pieces they arrive."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.constraints import CallableTool, JsonSchema, Origin, ToolCalls
from myna.core.errors import ConstraintTooComplex, ContextLengthExceeded, GenerationFailed, Overloaded
from myna.core.events import ChoiceDone, Done, Embedded, Event, PromptDone, TextDelta, TokenLogprob
from myna.core.generator import EmbeddingInfo, ModelInfo
from myna.core.requests import EmbeddingRequest, GenerationRequest, Sampling
from myna.scheduling.sequence import RequestEvent
from myna.workers import frames
from myna.workers.frames import (
    Abort,
    Failure,
    FrameSplitter,
    Load,
    Ping,
    Pong,
    Ready,
    Step,
    Submit,
    Tokenize,
    Tokenized,
)

REQUEST = GenerationRequest(
    "id",
    (1, 2, 3),
    10,
    num_choices=2,
    best_of=3,
    sampling=Sampling(0.5, logit_bias=((4, -100.0),), seed=-(1 << 62)),
    stop=("停", "\n"),
    num_logprobs=5,
    constraint=ToolCalls(
        "hermes", (CallableTool("f", "{}", origin=Origin("f", "tools[0]")),), answer=JsonSchema("{}", True)
    ),
    prediction_tokens=(9,),
    priority=-1,
    owner="key",
)


@pytest.mark.parametrize(
    "command",
    [
        Load(frames.WorkerSpec("fake", "path", step_lock="x")),
        Submit(7, REQUEST),
        Submit(8, EmbeddingRequest("id", ((1, 2), (3,)), -1, "key")),
        Abort(7),
        Tokenize(1, "ü", True),
        Ping(),
    ],
)
def test_orders_arrive_as_they_were_sent(command: frames.Command) -> None:
    (payload,) = FrameSplitter().feed(frames.encode(command))
    assert frames.decode_command(payload) == command


@pytest.mark.parametrize(
    "message",
    [
        Ready(ModelInfo("fake", "fake", 10, 20, 30, 4, "fp", (1,))),
        Ready(ModelInfo("fake", "bert", 10, 20, 30, 4, "fp", embedding=EmbeddingInfo(8, "cls"))),
        frames.LoadFailed("why"),
        Pong(3),
        Tokenized(1, [1, 2]),
        Tokenized(1, [], Failure("InvalidRequest", "no", "stop", "code")),
    ],
)
def test_reports_arrive_as_they_were_sent(message: frames.WorkerMessage) -> None:
    (payload,) = FrameSplitter().feed(frames.encode(message))
    assert frames.decode_message(payload) == message


def test_a_step_carries_all_kinds_of_events_and_failures() -> None:
    events: list[Event] = [
        PromptDone(3, 1, (TokenLogprob(1, None, b"\xff"),)),
        TextDelta(0, "文", 2, (TokenLogprob(1, -0.5, b"x", ((2, -1.0, b"y"),)),)),
        ChoiceDone(0, "stop", 0, 2),
        Embedded(4, b"\x00\xff"),
        Done(2),
    ]
    told = [RequestEvent(number, event) for number, event in enumerate(events)]
    told.append(RequestEvent(9, GenerationFailed("broke")))
    (payload,) = FrameSplitter().feed(frames.encode_events(told))
    step = frames.decode_message(payload)
    assert isinstance(step, Step)
    assert step.events[:5] == list(enumerate(events))
    assert step.events[5] == (9, Failure("GenerationFailed", "broke"))


def test_a_failure_becomes_the_error_that_it_was() -> None:
    error = Failure.of(ContextLengthExceeded("too long")).error()
    assert isinstance(error, ContextLengthExceeded)
    assert error.message == "too long"
    assert isinstance(Failure("SystemExit", "no").error(), GenerationFailed)


def test_a_failure_keeps_the_part_of_the_request_that_it_names() -> None:
    told = [
        RequestEvent(1, ConstraintTooComplex("why", param="tools", code="c")),
        RequestEvent(2, Overloaded("busy")),
    ]
    (payload,) = FrameSplitter().feed(frames.encode_events(told))
    step = frames.decode_message(payload)
    assert isinstance(step, Step)
    first, second = (what.error() for _, what in step.events if isinstance(what, Failure))
    assert isinstance(first, ConstraintTooComplex)
    assert (first.message, first.param, first.code) == ("why", "tools", "c")
    assert isinstance(second, Overloaded)


@given(st.lists(st.integers(0, 1 << 40), max_size=8), st.lists(st.integers(1, 9), min_size=1))
def test_frames_are_whole_however_the_bytes_arrive(numbers: list[int], sizes: list[int]) -> None:
    data = b"".join(frames.encode(Abort(number)) for number in numbers)
    splitter, arrived, start = FrameSplitter(), list[frames.Command](), 0
    while start < len(data):
        size = sizes[start % len(sizes)]
        arrived += map(frames.decode_command, splitter.feed(data[start : start + size]))
        start += size
    assert arrived == [Abort(number) for number in numbers]


def test_a_length_that_no_frame_has_is_refused() -> None:
    with pytest.raises(ValueError, match="4294967295 bytes"):
        list(FrameSplitter().feed(b"\xff\xff\xff\xff"))


def test_bytes_that_are_not_a_frame_are_a_value_error() -> None:
    with pytest.raises(ValueError):
        frames.decode_message(b"\x93\x01")
    assert issubclass(msgspec.ValidationError, ValueError)

"""Frames survive their journey, in whatever pieces they arrive."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.constraints import CallableTool, JsonSchema, Origin, ToolCalls
from myna.core.errors import ConstraintTooComplex, ContextLengthExceeded, GenerationFailed, Overloaded
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta, TokenLogprob
from myna.core.generator import ModelInfo
from myna.core.requests import GenerationRequest, Sampling
from myna.scheduling.sequence import Told
from myna.workers import frames
from myna.workers.frames import Abort, Failure, FrameSplitter, Load, Ready, Run, Step, Tokenize, Tokenized

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
        "tagged", (CallableTool("f", "{}", origin=Origin("f", "tools[0]")),), answer=JsonSchema("{}", True)
    ),
    prediction_tokens=(9,),
    priority=-1,
    owner="key",
)


@pytest.mark.parametrize(
    "order",
    [
        Load(frames.WorkerSpec("fake", "path", step_lock="x")),
        Run(7, REQUEST),
        Abort(7),
        Tokenize(1, "ü", True),
    ],
)
def test_orders_arrive_as_they_were_sent(order: frames.Order) -> None:
    (payload,) = FrameSplitter().feed(frames.encode(order))
    assert frames.decode_order(payload) == order


@pytest.mark.parametrize(
    "report",
    [
        Ready(ModelInfo("fake", "fake", 10, 20, 30, 4, "fp", (1,))),
        frames.LoadFailed("why"),
        Tokenized(1, [1, 2]),
        Tokenized(1, [], Failure("InvalidRequest", "no", "stop", "code")),
    ],
)
def test_reports_arrive_as_they_were_sent(report: frames.Report) -> None:
    (payload,) = FrameSplitter().feed(frames.encode(report))
    assert frames.decode_report(payload) == report


def test_a_step_carries_all_kinds_of_events_and_failures() -> None:
    events: list[Event] = [
        PromptDone(3, 1, (TokenLogprob(1, None, b"\xff"),)),
        TextDelta(0, "文", 2, (TokenLogprob(1, -0.5, b"x", ((2, -1.0, b"y"),)),)),
        ChoiceDone(0, "stop", 0, 2),
        Done(2),
    ]
    told = [Told(number, event) for number, event in enumerate(events)]
    told.append(Told(9, GenerationFailed("broke")))
    (payload,) = FrameSplitter().feed(frames.encode_told(told))
    step = frames.decode_report(payload)
    assert isinstance(step, Step)
    assert step.told[:4] == list(enumerate(events))
    assert step.told[4] == (9, Failure("GenerationFailed", "broke"))


def test_a_failure_becomes_the_error_that_it_was() -> None:
    error = Failure.of(ContextLengthExceeded("too long")).error()
    assert isinstance(error, ContextLengthExceeded)
    assert error.message == "too long"
    assert isinstance(Failure("SystemExit", "no").error(), GenerationFailed)


def test_a_failure_keeps_the_part_of_the_request_that_it_names() -> None:
    told = [Told(1, ConstraintTooComplex("why", param="tools", code="c")), Told(2, Overloaded("busy"))]
    (payload,) = FrameSplitter().feed(frames.encode_told(told))
    step = frames.decode_report(payload)
    assert isinstance(step, Step)
    first, second = (what.error() for _, what in step.told if isinstance(what, Failure))
    assert isinstance(first, ConstraintTooComplex)
    assert (first.message, first.param, first.code) == ("why", "tools", "c")
    assert isinstance(second, Overloaded)


@given(st.lists(st.integers(0, 1 << 40), max_size=8), st.lists(st.integers(1, 9), min_size=1))
def test_frames_are_whole_however_the_bytes_arrive(numbers: list[int], sizes: list[int]) -> None:
    data = b"".join(frames.encode(Abort(number)) for number in numbers)
    splitter, arrived, start = FrameSplitter(), list[frames.Order](), 0
    while start < len(data):
        size = sizes[start % len(sizes)]
        arrived += map(frames.decode_order, splitter.feed(data[start : start + size]))
        start += size
    assert arrived == [Abort(number) for number in numbers]


def test_a_length_that_no_frame_has_is_refused() -> None:
    with pytest.raises(ValueError, match="4294967295 bytes"):
        list(FrameSplitter().feed(b"\xff\xff\xff\xff"))


def test_bytes_that_are_no_frame_are_a_value_error() -> None:
    with pytest.raises(ValueError):
        frames.decode_report(b"\x93\x01")
    assert issubclass(msgspec.ValidationError, ValueError)

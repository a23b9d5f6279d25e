"""The output processor as an engine that schedules for itself uses it: no scheduler of ours anywhere."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.constraints import json_schema
from tests.decoding.self_scheduling import TABLE, answer

from myna.core.errors import GenerationFailed
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta, TokenLogprob
from myna.core.requests import CallMarks, GenerationRequest, Sampling, Thought
from myna.decoding.choice_output import SampledLogprobs
from myna.decoding.output_processor import RequestOutput
from myna.decoding.token_table import TokenTable
from myna.engines import fake
from myna.scheduling.grammar_text import compile_constraint
from myna.scheduling.in_process import InProcessGenerator
from myna.workers.frames import WorkerSpec
from myna.workers.loading import load_fake, load_model

THOUGHT = Thought("<think>", "</think>")


def tokenize(text: str) -> tuple[int, ...]:
    return tuple(fake.tokenize(text, parse_special=True))


def output_of(max_tokens: int = 99, table: TokenTable = TABLE, **more: object) -> RequestOutput:
    request = GenerationRequest("", tokenize("a prompt"), max_tokens, **more)  # type: ignore[arg-type]
    return RequestOutput(request, table)


def push_all(output: RequestOutput, tokens: Sequence[int], index: int = 0) -> list[Event]:
    """Push with log-probabilities if the output asks for them: -1 for the first token, -2 for the next, …"""
    events: list[Event] = []
    for place, token in enumerate(tokens, 1):
        logprobs = None if output.num_logprobs is None else SampledLogprobs(-float(place))
        events += output.push(index, token, logprobs)
    return events


def text_of(events: Sequence[Event], choice: int = 0, *, is_thought: bool = False) -> str:
    return "".join(
        event.text
        for event in events
        if isinstance(event, TextDelta) and event.choice == choice and event.is_thought == is_thought
    )


def num_tokens_of(events: Sequence[Event]) -> int:
    return sum(event.num_tokens for event in events if isinstance(event, TextDelta | ChoiceDone))


def logprobs_of(events: Sequence[Event]) -> list[TokenLogprob]:
    return [entry for event in events if isinstance(event, TextDelta) for entry in event.logprobs]


# --- the same as the scheduler's path ---


@st.composite
def requests(draw: st.DrawFn) -> GenerationRequest:
    words = st.text("ab é🙂<think>/", min_size=1, max_size=12)
    said = draw(words)
    if draw(st.booleans()):
        said = f"<think>{draw(words)}</think>\n{said}"
    num_choices = draw(st.integers(1, 3))
    hot = Sampling(temperature=4.0, frequency_penalty=1.0, seed=draw(st.integers(0, 9)))
    return GenerationRequest(
        id="",
        prompt_tokens=tokenize(f"[[say {said}]]" if draw(st.booleans()) else said + "?"),
        max_tokens=draw(st.integers(0, 40)),
        num_choices=num_choices,
        best_of=num_choices + draw(st.integers(0, 2)),
        sampling=draw(st.sampled_from([Sampling(temperature=0), hot])),
        stop=tuple(draw(st.lists(st.text("ab é🙂<th", min_size=1, max_size=3), max_size=3))),
        num_logprobs=draw(st.sampled_from([None, 0, 2])),
        num_prompt_logprobs=draw(st.sampled_from([None, None, 0, 2])),
        ignore_eos=draw(st.booleans()),
        prediction_tokens=tokenize(draw(words)),
        thought=draw(st.sampled_from([None, THOUGHT, msgspec.structs.replace(THOUGHT, is_open=True)])),
    )


def normalized(events: list[Event], request: GenerationRequest) -> list[list[Event]]:
    """The prompt's event, each choice's, the last one; what a cache held and how choices took turns apart."""
    prompt_done, *rest = events
    assert isinstance(prompt_done, PromptDone)
    *rest, done = rest
    assert isinstance(done, Done)
    choices: list[list[Event]] = [
        [event for event in rest if isinstance(event, TextDelta | ChoiceDone) and event.choice == choice]
        for choice in range(request.num_choices)
    ]
    assert sum(map(len, choices)) == len(rest)
    return [[msgspec.structs.replace(prompt_done, cached_tokens=0)], *choices, [done]]


def test_gives_the_events_that_the_scheduler_gives() -> None:
    service = InProcessGenerator(lambda: load_model(WorkerSpec("fake", "fake")))

    async def ask(request: GenerationRequest) -> list[Event]:
        return [event async for event in await service.generate(request)]

    with asyncio.Runner() as runner:
        runner.run(service.start())

        @settings(max_examples=200, deadline=None)
        @given(requests())
        def check(request: GenerationRequest) -> None:
            scheduled = runner.run(ask(request))
            assert normalized(answer(request), request) == normalized(scheduled, request)

        check()
        runner.run(service.aclose())


# --- any tokens ---


def expected_text(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """`text` up to the stop string that is complete first; of several, the longest."""
    for end in range(1, len(text) + 1):
        complete = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(complete)], True
    return text, False


@given(
    st.text("ab é漢🙂", min_size=1, max_size=30),
    st.lists(st.integers(0, 120), max_size=20),
    st.lists(st.text("ab é漢🙂", min_size=1, max_size=4), max_size=3),
)
def test_any_split_into_tokens_gives_the_text_and_each_log_probability_once(
    text: str, cuts: list[int], stops: list[str]
) -> None:
    data = text.encode()
    ends = sorted({cut for cut in cuts if cut < len(data)} | {0, len(data)})
    pieces = [data[start:end] for start, end in pairwise(ends)]
    table = TokenTable(pieces, pieces, frozenset())
    request = GenerationRequest("", (0,), len(pieces), stop=tuple(stops), num_logprobs=0)
    output = RequestOutput(request, table)
    events = push_all(output, range(len(pieces)))

    shown, is_stopped = expected_text(text, stops)
    assert text_of(events) == shown
    assert isinstance(events[-2], ChoiceDone)
    assert events[-2].reason == ("stop" if is_stopped else "length")
    assert num_tokens_of(events) == events[-2].completion_tokens == output.choices[0].num_tokens
    entries = logprobs_of(events)
    assert [entry.token for entry in entries] == list(range(len(entries)))
    assert [entry.logprob for entry in entries] == [-float(place) for place in range(1, len(entries) + 1)]
    assert b"".join(entry.data for entry in entries).startswith(shown.encode())
    if not is_stopped:
        assert len(entries) == len(pieces)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=20))
def test_bytes_that_are_not_text_come_out_as_from_one_decoder(pieces: list[bytes]) -> None:
    output = output_of(len(pieces), TokenTable([*pieces, b""] * 256, [*pieces, b""] * 256, frozenset()))
    events = push_all(output, range(len(pieces)))
    # Of a last character that is not whole, nothing is shown.
    whole = b"".join(pieces).decode(errors="replace")
    shown = text_of(events)
    assert shown == whole or (whole.startswith(shown) and whole == shown + "\ufffd")
    assert num_tokens_of(events) == len(pieces)


# --- who ends a choice ---


def test_an_end_token_ends_the_choice_and_makes_no_text() -> None:
    output = output_of(num_logprobs=0)
    events = push_all(output, [*tokenize("well"), fake.END])
    assert text_of(events) == "well"
    assert events[-2:] == [ChoiceDone(0, "stop", 1, 5), Done(5)]
    assert [entry.data for entry in logprobs_of(events)] == [b"w", b"e", b"l", b"l"]
    assert output.is_finished


@pytest.mark.parametrize("ignore_eos", [False, True])
def test_a_stop_token_of_the_request_ends_the_choice_like_an_end_token(ignore_eos: bool) -> None:
    (mark,) = tokenize("!")
    output = output_of(stop_token_ids=(mark,), ignore_eos=ignore_eos)
    events = push_all(output, tokenize("well!"))
    assert text_of(events) == "well"
    assert events[-1] == Done(5)
    assert output.end_tokens == ({mark} if ignore_eos else {mark, fake.END})


def test_a_stop_string_counts_from_the_minimum_on() -> None:
    early = output_of(stop=("ab",), min_tokens=3)
    assert text_of(push_all(early, tokenize("ab ab ab"))) == "ab ", "the second one"
    late = output_of(stop=("ab",), min_tokens=2)
    assert text_of(push_all(late, tokenize("xab ab"))) == "xab ", "begun before the minimum"


def test_tokens_after_the_end_are_ignored() -> None:
    output = output_of(num_choices=2, stop=("STOP",))
    push_all(output, tokenize("well STOP"))
    assert output.choices[0].reason == "stop"
    assert output.push(0, 65) == ()
    assert output.finish(0, "length") == ()
    assert not output.is_finished
    events = push_all(output, tokenize("too STOP and more"), 1)
    assert events[-1] == Done(len(tokenize("well STOP")) + len(tokenize("too STOP")))


def test_an_engine_that_ends_a_choice_itself_gets_all_that_was_held_back() -> None:
    output = output_of(stop=("STOP",), num_logprobs=0)
    assert text_of(push_all(output, tokenize("well ST"))) == "well "
    events = output.finish(0, "length")
    assert text_of(events) == "ST"
    assert [entry.data for entry in logprobs_of(events)] == [b"S", b"T"]
    assert events[-2:] == [ChoiceDone(0, "length", 0, 7), Done(7)]


def test_a_stop_string_ends_text_but_no_call() -> None:
    calls = CallMarks(("<tool_call>",))
    events = push_all(output_of(stop=("Paris",), calls=calls), tokenize("In Paris <tool_call>"))
    assert text_of(events) == "In "
    call = '<tool_call>{"name": "f", "arguments": {"city": "Paris"}}'
    events = push_all(output_of(stop=("Paris", "\n", "}"), calls=calls), [*tokenize(call), fake.END])
    assert text_of(events) == call


def test_a_stop_string_in_what_was_held_back_ends_the_choice() -> None:
    output = output_of(9, stop=("<tool",), calls=CallMarks(("<tool_call>",)), num_logprobs=0)
    events = push_all(output, tokenize("Yes <tool"))
    assert text_of(events) == "Yes "
    assert b"".join(entry.data for entry in logprobs_of(events)) == b"Yes "
    assert ChoiceDone(0, "stop", 5, 9, "<tool") in events


def test_the_stop_string_that_ended_the_choice_is_reported() -> None:
    events = push_all(output_of(stop=("b", "abc", "xabc")), tokenize("wxabcd"))
    assert (text_of(events), events[-2]) == ("wxa", ChoiceDone(0, "stop", 0, 4, "b"))
    events = push_all(output_of(stop=("c", "abc")), tokenize("wabcd"))
    assert isinstance(events[-2], ChoiceDone)
    assert (text_of(events), events[-2].stop) == ("w", "abc")
    events = push_all(output_of(stop=("b",)), [*tokenize("a"), fake.END])
    assert isinstance(events[-2], ChoiceDone)
    assert (events[-2].reason, events[-2].stop) == ("stop", "")


def test_what_the_engine_aborts_is_a_failure() -> None:
    output = output_of()
    push_all(output, tokenize("well"))
    with pytest.raises(GenerationFailed, match="aborted"):
        output.finish(0, "abort")


def test_a_grammar_that_allows_nothing_more_ends_the_choice() -> None:
    grammars = load_fake(WorkerSpec("fake", "fake")).prepare_grammars()
    assert grammars is not None
    request = GenerationRequest("", (1,), 99, constraint=json_schema({"enum": ["red", "green"]}))
    assert request.constraint is not None
    output = RequestOutput(request, TABLE, compile_constraint(request.constraint, grammars.compile))
    events = push_all(output, tokenize('"green"'))
    assert text_of(events) == '"green"'
    assert isinstance(events[-2], ChoiceDone)
    assert events[-2].reason == "stop"


# --- thoughts ---


def test_a_thought_is_reported_apart_and_has_no_log_probabilities() -> None:
    output = output_of(thought=THOUGHT, num_logprobs=0, stop=("maybe",))
    events = push_all(output, [*tokenize("<think>maybe</think>\nyes"), fake.END])
    assert text_of(events, is_thought=True) == "maybe"
    assert text_of(events) == "yes"
    assert b"".join(entry.data for entry in logprobs_of(events)) == b"yes"
    assert isinstance(events[-1], Done)
    assert events[-1].reasoning_tokens == len(tokenize("<think>maybe</think>\n"))
    assert num_tokens_of(events) == events[-1].completion_tokens


def test_marks_that_are_control_tokens_are_read_and_never_shown() -> None:
    pieces = [b"<think>", b"hm", b"</think>", b"<answer>", b"yes", b"</answer>", b"<other>"]
    shown = [b"", b"hm", b"", b"", b"yes", b"", b""]
    thought = Thought("<think>", "</think>", answer="<answer>", close="</answer>")
    output = output_of(len(pieces), TokenTable(pieces * 40, shown * 40, frozenset()), thought=thought)
    events = push_all(output, range(len(pieces)))
    assert (text_of(events, is_thought=True), text_of(events)) == ("hm", "yes")


def test_a_stop_string_that_looked_like_a_thought_is_still_a_stop() -> None:
    events = push_all(output_of(3, thought=THOUGHT, stop=("<th",)), tokenize("<th"))
    assert events == [ChoiceDone(0, "stop", 3, 3, "<th"), Done(3)]


def test_a_token_with_the_end_of_the_thought_and_the_beginning_of_the_answer_is_shown() -> None:
    pieces = [b"hm</think>y", b"es"]
    table = TokenTable([*pieces] * 256, [*pieces] * 256, frozenset())
    output = output_of(2, table, thought=msgspec.structs.replace(THOUGHT, is_open=True))
    events = push_all(output, [0, 1])
    assert text_of(events, is_thought=True) == "hm"
    assert text_of(events) == "yes"
    assert events[-1] == Done(2, reasoning_tokens=1)


# --- log-probabilities, ranks and totals ---


def test_log_probabilities_have_the_requested_number_of_most_likely_tokens() -> None:
    output = output_of(1, num_logprobs=2)
    (delta, *_) = output.push(0, 65, SampledLogprobs(-0.5, [65, 66, 67], [-0.5, -1.5, -2.5]))
    assert isinstance(delta, TextDelta)
    assert delta.logprobs == (TokenLogprob(65, -0.5, b"A", ((65, -0.5, b"A"), (66, -1.5, b"B"))),)


def test_log_probabilities_of_the_prompt_begin_with_its_second_token() -> None:
    output = output_of(0, num_prompt_logprobs=1)
    first, *rest = tokenize("a prompt")
    output.add_prompt_logprobs(SampledLogprobs(-1.0, [65, 66], [-0.1, -0.2]) for _ in rest)
    assert output.num_prompt_logprobs == 1 + len(rest)
    done = output.prompt_done(3)
    assert done.prompt_tokens == 1 + len(rest)
    assert done.cached_tokens == 3
    assert done.logprobs[0] == TokenLogprob(first, None, fake.VOCABULARY[first])
    assert [entry.token for entry in done.logprobs[1:]] == rest
    assert {entry.top for entry in done.logprobs[1:]} == {((65, -0.1, b"A"),)}


def test_the_best_candidates_come_when_all_have_ended() -> None:
    output = output_of(2, num_choices=2, best_of=3)
    assert output.num_logprobs == 0
    for index, logprob in enumerate((-2.0, -1.0, -3.0)):
        assert not output.push(index, 65 + index, SampledLogprobs(logprob))
    assert not output.push(0, 97, SampledLogprobs(-2.0))
    assert not output.push(1, 98, SampledLogprobs(-1.0))
    events = output.push(2, 99, SampledLogprobs(-3.0))
    assert [text_of(events, choice) for choice in (0, 1, 2)] == ["Bb", "Aa", ""]
    assert logprobs_of(events) == []
    assert events[-1] == Done(6)


def test_predicted_tokens_are_accepted_or_rejected_in_every_choice() -> None:
    output = output_of(8, num_choices=2, prediction_tokens=tokenize("abcd"))
    push_all(output, tokenize("abxxxxxx"))
    done = push_all(output, tokenize("abcdabcd"), 1)[-1]
    assert done == Done(16 + 2, accepted_prediction_tokens=6, rejected_prediction_tokens=2)


def test_thoughts_of_competing_candidates_wait_for_the_ranking_too() -> None:
    output = output_of(5, best_of=2, thought=msgspec.structs.replace(THOUGHT, is_open=True))
    for index, word in enumerate(("loses", "wins.")):
        for token in tokenize(word)[:-1]:
            assert not output.push(index, token, SampledLogprobs(-2.0 + index))
    assert not output.push(0, tokenize("loses")[-1], SampledLogprobs(-2.0))
    events = output.push(1, tokenize("wins.")[-1], SampledLogprobs(-1.0))
    assert text_of(events, is_thought=True) == "wins."
    assert events[-1] == Done(10, reasoning_tokens=10)

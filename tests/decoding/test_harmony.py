"""gpt-oss's channels: whatever tokens they come in, thoughts, answers and calls are separated, and no markup
is shown."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.events import Done, Event, TextDelta
from myna.core.harmony import ANALYSIS, CALL_END, CALL_HEAD, COMMENTARY, END, FINAL, MESSAGE, START
from myna.core.requests import NO_CALLS, CallMarks, GenerationRequest, Thought
from myna.decoding.choice_output import SampledLogprobs
from myna.decoding.output_processor import RequestOutput
from myna.decoding.token_table import TokenTable

THOUGHT = Thought(ANALYSIS, END + START, answer=FINAL, is_harmony=True)
CALLS = CallMarks((CALL_HEAD,))
NEXT = END + START
ROUND = f"{CALL_HEAD}weather{MESSAGE}"
ARGUMENTS = '{"city": "北京"}'

# What a model writes after `<|start|>assistant`; its thoughts and its answer, in which calls have one form.
SCRIPTS: dict[str, tuple[str, str, str]] = {
    "answer": (f"{FINAL}It is 你.", "", "It is 你."),
    "thought": (f"{ANALYSIS}Hm 🙂.{NEXT}{FINAL}Yes.", "Hm 🙂.", "Yes."),
    "two thoughts": (f"{ANALYSIS}One.{NEXT}{ANALYSIS}Two.{NEXT}{FINAL}3", "One.\nTwo.", "3"),
    "preamble": (f"{COMMENTARY}{MESSAGE}I look.{NEXT}{FINAL}Found.", "", "I look.\nFound."),
    "thought after an answer": (
        f"{COMMENTARY}{MESSAGE}I look.{NEXT}{ANALYSIS}So.{NEXT}{FINAL}Found.",
        "So.",
        "I look.\nFound.",
    ),
    "white space": (f"{ANALYSIS}\n a\n\n{NEXT}{FINAL}\n b\n", "a", "\n b\n"),
    "call": (
        f"{ANALYSIS}Look.{NEXT}{COMMENTARY} to=functions.weather <|constrain|>json{MESSAGE}{ARGUMENTS}",
        "Look.",
        ROUND + ARGUMENTS,
    ),
    "recipient in the role": (
        f" to=functions.weather{COMMENTARY} json{MESSAGE}{ARGUMENTS}",
        "",
        ROUND + ARGUMENTS,
    ),
    "recipient in the role, later": (
        f"{ANALYSIS}a{NEXT} to=functions.weather{COMMENTARY} <|constrain|>json{MESSAGE}{ARGUMENTS}",
        "a",
        ROUND + ARGUMENTS,
    ),
    "call in the analysis": (
        f"<|channel|>analysis to=functions.weather code{MESSAGE}{ARGUMENTS}",
        "",
        ROUND + ARGUMENTS,
    ),
    "no constrain": (f"{COMMENTARY} to=functions.weather{MESSAGE}{ARGUMENTS}", "", ROUND + ARGUMENTS),
    "preamble and two calls": (
        f"{COMMENTARY}{MESSAGE}Two.{NEXT}{COMMENTARY} to=functions.weather{MESSAGE}{ARGUMENTS}{NEXT}"
        f"{COMMENTARY} to=functions.weather{MESSAGE}{{}}",
        "",
        f"Two.{ROUND}{ARGUMENTS}{CALL_END}{ROUND}{{}}",
    ),
    "a tool of its makers": (
        f"<|channel|>analysis to=python code{MESSAGE}1+1{NEXT}{FINAL}2",
        "1+1",
        "2",
    ),
    "no end before the next": (f"{ANALYSIS}a<|start|>assistant{FINAL}b", "a", "b"),
    "no start before the next": (f"{ANALYSIS}a<|end|>{FINAL}b", "a", "b"),
    "no header at all": ("Just text < 3.", "", "Just text < 3."),
    "an unknown channel": (f"<|channel|>aside{MESSAGE}Psst.", "", "Psst."),
    "a mark out of place": (f"{FINAL}a<|constrain|>b{MESSAGE}c", "", "abc"),
}


def events_of(parts: Sequence[bytes], calls: CallMarks = CALLS, **more: object) -> list[Event]:
    pieces = [*parts, b"<|return|>"]
    table = TokenTable(pieces, [*parts, b""], frozenset([len(parts)]))
    fields: dict[str, object] = {"max_tokens": 10_000, "num_logprobs": 0, "thought": THOUGHT, **more}
    output = RequestOutput(GenerationRequest("r", (0,), calls=calls, **fields), table)  # type: ignore[arg-type]
    return [event for i in range(len(pieces)) for event in output.push(0, i, SampledLogprobs(-1.0))]


def texts(events: Sequence[Event]) -> tuple[str, str]:
    deltas = [event for event in events if isinstance(event, TextDelta)]
    return tuple("".join(d.text for d in deltas if d.is_thought is kind) for kind in (True, False))  # type: ignore[return-value]


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_text_cut_anywhere_is_read_alike(name: str) -> None:
    text, *expected = SCRIPTS[name]
    data = text.encode()
    assert list(texts(events_of([data[i : i + 1] for i in range(len(data))]))) == expected
    for cut in range(len(data)):
        assert list(texts(events_of(split(data, [cut])))) == expected


@given(st.sampled_from([*SCRIPTS]), st.lists(st.integers(0, 500), max_size=40))
def test_any_split_is_read_alike(name: str, cuts: list[int]) -> None:
    text, *expected = SCRIPTS[name]
    assert list(texts(events_of(split(text.encode(), cuts)))) == expected


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_markup_shows_wherever_the_text_ends(name: str) -> None:
    text, thought, answer = SCRIPTS[name]
    for end in range(len(text)):
        shown_thought, shown = texts(events_of([text[:end].encode()]))
        assert thought.startswith(shown_thought)
        assert answer.startswith(shown)


@pytest.mark.parametrize("name", SCRIPTS)
def test_without_tools_a_call_is_a_thought(name: str) -> None:
    text = SCRIPTS[name][0]
    thought, shown = texts(events_of([text.encode()], NO_CALLS))
    assert "<|" not in thought + shown
    assert ARGUMENTS not in shown
    assert (ARGUMENTS in thought) == (ARGUMENTS in text)


def test_log_probabilities_and_stop_strings_are_the_answers_alone() -> None:
    text = f"{ANALYSIS}stop{NEXT}{FINAL}go on stop here"
    data = text.encode()
    events = events_of([data[i : i + 1] for i in range(len(data))], stop=("stop",))
    assert texts(events) == ("stop", "go on ")
    entries = [entry for e in events if isinstance(e, TextDelta) for entry in e.logprobs]
    assert b"".join(entry.data for entry in entries) == b"go on "


def test_the_tokens_of_the_analysis_are_counted() -> None:
    parts = ["<|channel|>", "analysis", "<|message|>", "Hm", ".", "<|end|>", "<|start|>", "assistant"]
    parts += ["<|channel|>", "final", "<|message|>", "Yes", "."]
    *_, done = events_of([part.encode() for part in parts])
    assert isinstance(done, Done)
    assert (done.completion_tokens, done.reasoning_tokens) == (14, 6)

"""Functionary 3.2's answers: whatever tokens they come in, text has no recipient and each call has one."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.decoding.test_harmony import split, texts

from myna.core.events import Event, TextDelta
from myna.core.requests import CallMarks, GenerationRequest
from myna.decoding.choice_output import SampledLogprobs
from myna.decoding.output_processor import RequestOutput
from myna.decoding.token_table import TokenTable

CALLS = CallMarks((">>>weather\n", ">>>now\n"), has_recipients=True)
ARGUMENTS = '{"city": "北京"}'
CALL = f">>>weather\n{ARGUMENTS}"

# What a model writes behind `>>>`, and what its reader is given.
SCRIPTS: dict[str, tuple[str, str]] = {
    "text": ("all\nIt is 你.", "It is 你."),
    "white space": ("\n all\n\n b\n", "\n b\n"),
    "call": (f"weather\n{ARGUMENTS}", CALL),
    "two calls": (f"weather\n{ARGUMENTS}>>>now\n{{}}", f"{CALL}>>>now\n{{}}"),
    "text and call": (f"all\nI look.{CALL}", f"I look.{CALL}"),
    "call and text": (f"weather\n{ARGUMENTS}>>>all\nDone.", f"{CALL}Done."),
    "text, call and text": (f"all\nI look.{CALL}>>>all\nDone.", f"I look.{CALL}\nDone."),
    "text twice": ("all\nOne.>>>all\nTwo.", "One.\nTwo."),
    "the mark again": (f">>>all\nI look.{CALL}", f"\nI look.{CALL}"),
    "no recipient": ("Always < 3.", "Always < 3."),
    "another recipient": ("python\n1 + 1", "python\n1 + 1"),
    "a shell in the text": ("all\n>>> all(x)\n>>>all", ">>> all(x)\n>>>all"),
    "nothing": ("", ""),
}


def events_of(parts: Sequence[bytes], **more: object) -> list[Event]:
    pieces = [*parts, b"<|eot_id|>"]
    table = TokenTable(pieces, [*parts, b""], frozenset([len(parts)]))
    fields: dict[str, object] = {"max_tokens": 10_000, "num_logprobs": 0, "calls": CALLS, **more}
    output = RequestOutput(GenerationRequest("r", (0,), **fields), table)  # type: ignore[arg-type]
    return [event for i in range(len(pieces)) for event in output.push(0, i, SampledLogprobs(-1.0))]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_text_cut_anywhere_is_read_alike(name: str) -> None:
    text, expected = SCRIPTS[name]
    data = text.encode()
    assert texts(events_of([data[i : i + 1] for i in range(len(data))])) == ("", expected)
    for cut in range(len(data)):
        assert texts(events_of(split(data, [cut]))) == ("", expected)


@given(st.sampled_from([*SCRIPTS]), st.lists(st.integers(0, 500), max_size=40))
def test_any_split_is_read_alike(name: str, cuts: list[int]) -> None:
    text, expected = SCRIPTS[name]
    assert texts(events_of(split(text.encode(), cuts))) == ("", expected)


@pytest.mark.parametrize("name", ["text", "call", "text and call", "two calls"])
def test_an_answer_that_ends_anywhere_shows_a_part_of_the_whole(name: str) -> None:
    text, answer = SCRIPTS[name]
    for end in range(len(text)):
        _, shown = texts(events_of([text[:end].encode()]))
        assert answer.startswith(shown), text[:end]


def test_stop_strings_see_neither_recipients_nor_calls() -> None:
    for text, shown in (
        ("all\none\ntwo", "one"),
        (f"weather\n{ARGUMENTS}", CALL),
        (f"all\none {CALL}\n", f"one {CALL}\n"),
        ("all\n>>> 1 + 1\n2", ">>> 1 + 1"),
    ):
        data = text.encode()
        events = events_of([data[i : i + 1] for i in range(len(data))], stop=("\n", "city"))
        assert texts(events) == ("", shown), text


def test_log_probabilities_are_the_texts_alone() -> None:
    events = events_of([b"all", b"\n", b"It", b" is."])
    entries = [entry for e in events if isinstance(e, TextDelta) for entry in e.logprobs]
    assert b"".join(entry.data for entry in entries) == b"It is."

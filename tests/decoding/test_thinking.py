"""Thoughts before answers: whatever tokens they come in, all of the thought and nothing else is shown."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.requests import Thought
from myna.decoding.thinking import ThoughtConstraint, ThoughtText

OPEN = Thought("<think>", "</think>", is_open=True)
UNOPENED = Thought("<think>", "</think>")


def read(parts: list[bytes], thought: Thought) -> tuple[str, bytes, bool]:
    """What is shown of the thought, what is left for the answer, and whether the thought ended."""
    text = ThoughtText(thought)
    shown = ""
    for index, part in enumerate(parts):
        shown += text.push(part)
        if text.is_over:
            return shown, answer(text) + b"".join(parts[index + 1 :]), True
    has_ended = text.has_ended
    shown += text.finish()
    return shown, answer(text), has_ended


def answer(text: ThoughtText) -> bytes:
    return b"".join(data for data in text.classifier.take() if data is not None)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


WORDS = st.text(st.sampled_from("ab <>/think你🙂é\n"), max_size=30).filter(lambda t: "</think>" not in t)


@given(WORDS, st.text("xy你 \n", min_size=1, max_size=8), st.lists(st.integers(0, 500), max_size=30))
def test_any_split_shows_the_thought_and_leaves_the_answer(
    thought: str, answer: str, cuts: list[int]
) -> None:
    parts = split(f"<think>\n{thought}\n</think>\n\n{answer}".encode(), cuts)
    shown, rest, has_ended = read(parts, UNOPENED)
    expected, _, _ = f"{thought}\n</think>".partition("</think>")
    assert shown == expected.strip(" \n")
    assert has_ended
    assert rest.decode().lstrip(" \n") == answer.lstrip(" \n")


MARKED = Thought("<think>", "</think>", answer="<answer>", close="</answer>")
MARKED_SCRIPTS = {
    "<think>a</think><answer>b</answer>": ("a", "b"),
    "<think> a\n</think>\n<answer>\nb\n</answer>\n": ("a", "\nb\n"),
    "<answer>b</answer>": ("", "b"),
    "b": ("", "b"),
    "<think>a</think>b": ("a", "b"),
    "<think>a</think><think>你</think>b": ("a\n你", "b"),
    "<think>a</think><answer>b</answer><think>c</think><answer>d</answer>": ("a\nc", "bd"),
    "<think>a</think><answer>b</answer><tool>{}</tool>": ("a", "b<tool>{}</tool>"),
    "<think>a</think><tool>{}</tool>": ("a", "<tool>{}</tool>"),
}


@pytest.mark.parametrize("script", MARKED_SCRIPTS)
def test_marks_around_the_answer_are_never_shown(script: str) -> None:
    data = script.encode()
    for cut in range(len(data)):
        shown, rest, _ = read(split(data, [cut]), MARKED)
        assert (shown, rest.decode()) == MARKED_SCRIPTS[script]
    shown, rest, _ = read([data[i : i + 1] for i in range(len(data))], MARKED)
    assert (shown, rest.decode()) == MARKED_SCRIPTS[script]


ENDED = Thought("<think>", "</think>", answer="<answer>", close="</answer>", ending="</turn><eos>")
ENDED_SCRIPTS = {
    "<think>a</think><answer>b</answer></turn>": ("a", "b"),
    "<think>a</think><answer>b</answer></turn><eos>": ("a", "b"),
    "<answer>b</answer><tool>{}</tool></turn>": ("", "b<tool>{}</tool>"),
    "<think>a</think><tool>{}</tool></turn>": ("a", "<tool>{}</tool>"),
    "<think>a</think><answer>b</answer></turns>": ("a", "b</turns>"),
}


@pytest.mark.parametrize("script", ENDED_SCRIPTS)
def test_marks_that_end_the_turn_are_never_shown(script: str) -> None:
    data = script.encode()
    for cut in range(len(data)):
        shown, rest, _ = read(split(data, [cut]), ENDED)
        assert (shown, rest.decode()) == ENDED_SCRIPTS[script]
    shown, rest, _ = read([data[i : i + 1] for i in range(len(data))], ENDED)
    assert (shown, rest.decode()) == ENDED_SCRIPTS[script]


def test_an_end_amid_the_marks_shows_none_of_them() -> None:
    data = b"<think>a</think><answer>b</answer>"
    for end in range(len(b"<think>a"), len(data)):
        shown, rest, _ = read([data[:end]], MARKED)
        assert "a</think>".startswith(shown)
        assert rest in (b"", b"b")


def test_a_thought_that_the_prompt_opened_begins_at_once() -> None:
    assert read([b"Hm", b"m.", b"</think>", b"\n\n", b"42"], OPEN) == ("Hmm.", b"42", True)


def test_an_answer_without_a_thought_keeps_every_token() -> None:
    for parts in ([b"Hi", b" you"], [b"<", b"thin", b"g>"], [b" ", b"\n", b"x"], [b"<think"]):
        shown, rest, _ = read(parts, UNOPENED)
        assert (shown, rest) == ("", b"".join(parts))


def test_a_mark_half_said_at_the_end_is_shown_and_half_a_character_is_not_lost() -> None:
    assert read([b"<think>", b"so </thi"], UNOPENED) == ("so </thi", b"", False)
    assert read([b"\xf0\x9f", b"\x99\x82</think>"], OPEN) == ("🙂", b"", True)


def test_the_answers_part_of_the_marks_own_token_is_left_over() -> None:
    assert read([b"a</think", b'>{"'], OPEN) == ("a", b'{"', True)


def test_an_empty_thought_shows_nothing() -> None:
    assert read([b"<think>", b"\n\n", b"</think>", b"\n\n", b"yes"], UNOPENED) == ("", b"yes", True)


def test_a_gate_forces_the_marks_and_ends_after_its_tokens() -> None:
    pieces = [b"x", b"<think>", b"</", b"think>"]
    constraint = ThoughtConstraint(pieces, Thought("<think>", "</think>", max_tokens=2), [1], [2, 3])
    ends = []
    for expected in (1, None, None, 2, 3):
        assert constraint.forced == expected
        ends.append(constraint.advance(0 if expected is None else expected))
    assert ends == [False, False, False, False, True]


def test_a_gate_that_is_optional_waits_for_the_first_token_alone() -> None:
    constraint = ThoughtConstraint([b"<think>"], Thought("<think>", "</think>", is_optional=True), [0], [0])
    assert constraint.is_waiting
    constraint.advance(0)
    assert not constraint.is_waiting
    assert constraint.forced is None
    assert constraint.copy().is_waiting

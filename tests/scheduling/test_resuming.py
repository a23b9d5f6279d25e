"""An answer that runs again: what was read is removed from it, however the two runs were cut into events."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta, TokenLogprob
from myna.scheduling.resuming import Diverged, SentEvents

ANSWER = "The magpie 鹊 sang, and the whole street listened to it until the evening."
CUTS = st.lists(st.integers(0, len(ANSWER)), max_size=12)


def run(cuts: list[int], choice: int = 0) -> list[Event]:
    """The answer, a token per character, in events that end at those places."""
    places = sorted({0, len(ANSWER), *cuts})
    deltas: list[Event] = [
        TextDelta(
            choice,
            ANSWER[start:end],
            end - start,
            tuple(TokenLogprob(ord(char), -1.0, char.encode()) for char in ANSWER[start:end]),
            is_thought=start < 10,
        )
        for start, end in itertools.pairwise(places)
    ]
    return [*deltas, ChoiceDone(choice, "stop", 1, len(ANSWER) + 1)]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def tokens_of(events: list[Event]) -> int:
    return sum(event.num_tokens for event in events if isinstance(event, TextDelta | ChoiceDone))


def rerun(sent: SentEvents, events: list[Event]) -> list[Event]:
    sent.rewind()
    return [rest for event in events if (rest := sent.rest(event)) is not None]


@given(CUTS, CUTS, CUTS, st.integers(0, 13), st.integers(0, 13))
def test_two_interruptions_leave_no_trace(
    first: list[int], second: list[int], third: list[int], num_first: int, num_second: int
) -> None:
    sent, read = SentEvents(), run(first)[:num_first]
    for event in read:
        sent.note(event)
    for event in rerun(sent, run(second))[:num_second]:
        sent.note(event)
        read.append(event)
    read += rerun(sent, run(third))
    assert text_of(read) == ANSWER
    assert tokens_of(read) == len(ANSWER) + 1
    assert sum(isinstance(event, ChoiceDone) for event in read) == 1
    logprobs = [one for event in read if isinstance(event, TextDelta) for one in event.logprobs]
    assert [one.token for one in logprobs] == [ord(char) for char in ANSWER]


def test_tokens_without_text_are_counted_later() -> None:
    """The first run sent three tokens in one event; the second holds the third one back."""
    sent = SentEvents()
    sent.note(TextDelta(0, "abc", 2))
    rest = rerun(sent, [TextDelta(0, "abc", 3), TextDelta(0, "d", 1), ChoiceDone(0, "stop", 1, 5)])
    assert rest == [TextDelta(0, "d", 2), ChoiceDone(0, "stop", 1, 5)]


def test_choices_are_apart() -> None:
    sent = SentEvents()
    for event in run([], choice=1):
        sent.note(event)
    rest = rerun(sent, [PromptDone(3, 0), *run([]), *run([5], choice=1), Done(9)])
    assert rest == [PromptDone(3, 0), *run([]), Done(9)]


def test_another_answer_is_noticed() -> None:
    sent = SentEvents()
    sent.note(TextDelta(0, "magpie", 2))
    with pytest.raises(Diverged):
        rerun(sent, [TextDelta(0, "mag", 1), TextDelta(0, "net", 1)])
    with pytest.raises(Diverged):
        rerun(sent, [TextDelta(0, "mag", 1), ChoiceDone(0, "stop", 1, 2)])

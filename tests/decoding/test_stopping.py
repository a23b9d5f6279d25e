"""Stop strings end the text where they should, at any split, and nothing else is lost or delayed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.requests import CallMarks
from myna.decoding.stopping import StopMatcher

# Few letters, so that stop strings and near misses are frequent.
words = st.text(alphabet="abn\n", max_size=5)
texts = st.lists(st.text(alphabet="abn\n", max_size=6), max_size=12)


def expected(text: str, stops: list[str]) -> str:
    """What is shown, by str.find alone."""
    found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop and stop in text]
    return text[: min(found)[1]] if found else text


def run(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    matcher = StopMatcher(stops)
    shown = ""
    for piece in pieces:
        shown += matcher.push(piece)
        if matcher.is_stopped:
            return shown, True
    return shown + matcher.finish(), False


@given(texts, st.lists(words, max_size=4))
def test_any_split_shows_what_find_says(pieces: list[str], stops: list[str]) -> None:
    text = "".join(pieces)
    shown, is_stopped = run(pieces, stops)
    assert shown == expected(text, stops)
    assert is_stopped == any(stop in text for stop in stops if stop)


@given(texts, st.lists(words, min_size=1, max_size=4))
def test_only_a_real_prefix_is_held_back(pieces: list[str], stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    text, shown = "", ""
    for piece in pieces:
        text += piece
        shown += matcher.push(piece)
        if matcher.is_stopped:
            return
        held = text[len(shown) :]
        assert matcher.num_held == len(held)
        assert held == "" or any(stop.startswith(held) and stop != held for stop in stops)
        assert not any(
            text.endswith(stop[:size]) for stop in stops for size in range(len(held) + 1, len(stop))
        )


@pytest.mark.parametrize(
    ("pieces", "stops", "shown"),
    [
        (["Hello", "\n", "\nUser", ": hi"], ["\n\nUser:"], "Hello"),
        (["Hello", "\n", "\nUs", "ed"], ["\n\nUser:"], "Hello\n\nUsed"),
        (["one STOP two"], ["STOP"], "one "),
        (["aab", "aaab"], ["aaab"], "aab"),
        (["abc"], ["abcd", "c"], "ab"),
        (["abcd"], ["bcd", "abcd"], ""),
        (["完", "了", "。結束"], ["了。"], "完"),
    ],
)
def test_examples(pieces: list[str], stops: list[str], shown: str) -> None:
    assert run(pieces, stops)[0] == shown


def test_a_long_stop_string_that_nearly_matches_is_found() -> None:
    stop = "ab" * 3000 + "c"
    assert run(list("ab" * 4000 + "c" + "rest"), [stop]) == ("ab" * 1000, True)


CALLS = CallMarks(("ab<", "ba"), "{")


def until_calls(text: str) -> str:
    """The part of the text that stop strings may be found in."""
    begin = text.lstrip()
    if begin.startswith("{"):
        return text[: len(text) - len(begin)]
    found = [text.find(mark) for mark in CALLS.anywhere if mark in text]
    return text[: min(found)] if found else text


@given(st.lists(st.text(alphabet="ab<{ \n", max_size=6), max_size=12), st.lists(words, max_size=4))
def test_stop_strings_are_looked_for_up_to_a_call(pieces: list[str], stops: list[str]) -> None:
    text = "".join(pieces)
    seen = until_calls(text)
    matcher = StopMatcher(stops, CALLS)
    shown = ""
    for piece in pieces:
        shown += matcher.push(piece)
        if matcher.is_stopped:
            break
    else:
        shown += matcher.finish()
    is_stopped = any(stop in seen for stop in stops if stop)
    assert matcher.is_stopped == is_stopped
    assert shown == (expected(seen, stops) if is_stopped else text)


def test_the_beginning_of_a_call_is_not_taken_for_a_stop_string() -> None:
    matcher = StopMatcher(["<tool", "\n"], CallMarks(("<tool_call>",)))
    assert [matcher.push(piece) for piece in ("Yes", " <to", "ol_", "call>", "\n<tool")] == [
        "Yes",
        " ",
        "",
        "<tool_call>",
        "\n<tool",
    ]
    assert not matcher.is_stopped


def test_a_call_is_noticed_where_stop_strings_are_not_yet_looked_for() -> None:
    matcher = StopMatcher(["x"], CallMarks(("<tool_call>",)))
    assert matcher.push("x<tool_call>", may_stop=False) == "x<tool_call>"
    assert matcher.push("x") == "x"


def test_what_only_began_like_a_call_may_be_a_stop_string() -> None:
    matcher = StopMatcher(["<tool"], CallMarks(("<tool_call>",)))
    assert matcher.push("Yes <tool") == "Yes "
    assert matcher.finish() == ""
    assert matcher.is_stopped

"""Stop strings end the text where they should, at any split, and nothing else is lost or delayed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

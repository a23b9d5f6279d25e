"""How an answer follows the text that its client predicts. Pure: only tokens."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

_DEEPEST: Final = 16  # a repetition this long is as sure as a longer one
_TRIED: Final = 12  # places of a prediction looked at on either side of where the answer was
_BEHIND: Final = 4  # an answer seldom goes back: a place behind counts as so many times as far
_WEIGHT: Final = 1 / 8  # of the newest comparison in a rate
# Rates to begin with, by the bits of the depth: 0, 1, 2 to 3, 4 to 7, 8 to 15, 16.
_PREDICTION_RATES: Final = (0.0, 0.4, 0.6, 0.75, 0.85, 0.9)


class DraftPosition:
    """A place in a text that an answer may be repeating. `at` is the index of the token that should come
    next, -1 if there is none; `depth` tokens before it were the same."""

    __slots__ = ("at", "depth", "rates")

    def __init__(self, rates: Sequence[float]) -> None:
        self.at = -1
        self.depth = 0
        self.rates = list(rates)

    def compare(self, expected: int, token: int) -> bool:
        """Whether the answer goes on as expected; moves on if so, and learns either way."""
        is_right = expected == token
        bucket = min(self.depth, _DEEPEST).bit_length()
        self.rates[bucket] += _WEIGHT * (is_right - self.rates[bucket])
        if is_right:
            self.at += 1
            self.depth += 1
        return is_right

    def chance(self, ahead: int) -> float:
        """That the token `ahead` of the next one is right, if those before it are."""
        return self.rates[min(self.depth + ahead, _DEEPEST).bit_length()]


class PredictionProposer:
    """The text that the client expects. After a difference the answer is looked for near where it was."""

    __slots__ = ("_places", "_text", "num_met", "position")

    def __init__(self, text: Sequence[int]) -> None:
        self._text = text
        self._places: defaultdict[int, list[int]] | None = None
        self.position = DraftPosition(_PREDICTION_RATES)
        self.position.at, self.position.depth = 0, _DEEPEST  # it was given to be trusted
        self.num_met = 0

    def upcoming(self, most: int) -> Sequence[int]:
        return self._text[self.position.at : self.position.at + most]

    def follow(self, tokens: Sequence[int], index: int, first: int) -> None:
        """`tokens[index]` has come, in an answer that begins at `first`."""
        position, token = self.position, tokens[index]
        if position.at < len(self._text) and position.compare(self._text[position.at], token):
            self.num_met += 1
            return
        self._find(tokens, index, first)

    def _find(self, tokens: Sequence[int], index: int, first: int) -> None:
        """The place with the longest common past, of those the nearest; without any, wait where it was."""
        if self._places is None:
            self._places = defaultdict(list)
            for place, token in enumerate(self._text):
                self._places[token].append(place)
        position, places = self.position, self._places.get(tokens[index], [])
        middle = bisect_left(places, position.at)
        best = (0, 0, position.at)
        for place in places[max(0, middle - _TRIED) : middle + _TRIED]:
            depth = self._depth(place, tokens, index, first)
            ahead = place + 1 - position.at
            best = max(best, (depth, -ahead if ahead >= 0 else _BEHIND * ahead, place + 1))
        position.depth, _, position.at = best

    def _depth(self, place: int, tokens: Sequence[int], index: int, first: int) -> int:
        most = min(place + 1, index + 1 - first, _DEEPEST)
        depth = 1
        while depth < most and self._text[place - depth] == tokens[index - depth]:
            depth += 1
        return depth


def count_accepted(prediction: Sequence[int], answer: Sequence[int]) -> int:
    """How many tokens of the prediction appear in the answer, however the answer was computed."""
    followed = PredictionProposer(prediction)
    for index in range(len(answer)):
        followed.follow(answer, index, 0)
    return min(followed.num_met, len(prediction))

"""Tracks how an answer follows the client's prediction, to propose draft tokens from it. Pure: only
tokens."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

_MAX_DEPTH: Final = 16  # longer matches are not more reliable
_MAX_CANDIDATES: Final = 12  # positions in the prediction that are tried on either side of the current one
_BEHIND: Final = 4  # answers rarely go back: distances backwards are multiplied by this
_WEIGHT: Final = 1 / 8  # of the newest comparison in an acceptance rate
# Initial acceptance rates, by the bit length of the depth: 0, 1, 2 to 3, 4 to 7, 8 to 15, 16.
_PREDICTION_RATES: Final = (0.0, 0.4, 0.6, 0.75, 0.85, 0.9)


class DraftPosition:
    """A position in a text that an answer may be repeating. `next_index` is the index of the token expected
    next, -1 if there is none; the `depth` tokens before it matched."""

    __slots__ = ("depth", "next_index", "rates")

    def __init__(self, rates: Sequence[float]) -> None:
        self.next_index = -1
        self.depth = 0
        self.rates = list(rates)

    def compare(self, expected: int, token: int) -> bool:
        """Whether the generated token is the expected one; advances if so, and updates the acceptance
        rate."""
        is_right = expected == token
        bucket = min(self.depth, _MAX_DEPTH).bit_length()
        self.rates[bucket] += _WEIGHT * (is_right - self.rates[bucket])
        if is_right:
            self.next_index += 1
            self.depth += 1
        return is_right

    def acceptance_rate(self, ahead: int) -> float:
        """The probability that the token `ahead` of the next one is accepted, if those before it are."""
        return self.rates[min(self.depth + ahead, _MAX_DEPTH).bit_length()]


class PredictionProposer:
    """Proposes tokens of the client's prediction. After a mismatch, the answer is searched for nearby."""

    __slots__ = ("_places", "_text", "num_matched", "position")

    def __init__(self, text: Sequence[int]) -> None:
        self._text = text
        self._places: defaultdict[int, list[int]] | None = None
        self.position = DraftPosition(_PREDICTION_RATES)
        self.position.next_index, self.position.depth = 0, _MAX_DEPTH  # trusted at first
        self.num_matched = 0

    def propose(self, limit: int) -> Sequence[int]:
        return self._text[self.position.next_index : self.position.next_index + limit]

    def observe(self, tokens: Sequence[int], index: int, first: int) -> None:
        """`tokens[index]` was generated, in an answer that begins at `first`."""
        position, token = self.position, tokens[index]
        if position.next_index < len(self._text) and position.compare(self._text[position.next_index], token):
            self.num_matched += 1
            return
        self._find(tokens, index, first)

    def _find(self, tokens: Sequence[int], index: int, first: int) -> None:
        """Move to the position with the longest match, of those to the nearest; without any match, stay."""
        if self._places is None:
            self._places = defaultdict(list)
            for place, token in enumerate(self._text):
                self._places[token].append(place)
        position, places = self.position, self._places.get(tokens[index], [])
        middle = bisect_left(places, position.next_index)
        best = (0, 0, position.next_index)
        for place in places[max(0, middle - _MAX_CANDIDATES) : middle + _MAX_CANDIDATES]:
            depth = self._depth(place, tokens, index, first)
            ahead = place + 1 - position.next_index
            best = max(best, (depth, -ahead if ahead >= 0 else _BEHIND * ahead, place + 1))
        position.depth, _, position.next_index = best

    def _depth(self, place: int, tokens: Sequence[int], index: int, first: int) -> int:
        most = min(place + 1, index + 1 - first, _MAX_DEPTH)
        depth = 1
        while depth < most and self._text[place - depth] == tokens[index - depth]:
            depth += 1
        return depth


def count_accepted(prediction: Sequence[int], answer: Sequence[int]) -> int:
    """How many tokens of the prediction appear in the answer, whether or not they were used as drafts."""
    proposer = PredictionProposer(prediction)
    for index in range(len(answer)):
        proposer.observe(answer, index, 0)
    return min(proposer.num_matched, len(prediction))

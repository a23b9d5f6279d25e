"""What an answer will probably say next: it repeats its prompt, itself or its prediction. Pure: only tokens.

Guesses cost no engine time before somebody computes them, so they are compared with every token that comes,
computed or not. How often they were right, by how long the repetition has gone on, tells their chance.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from myna.decoding.prediction import DraftPosition, PredictionProposer

_GRAM: Final = 3  # tokens that must be the same before a repetition is assumed
# Rates to begin with, by the bits of the depth: 0, 1, 2 to 3, 4 to 7, 8 to 15, 16.
_REPETITION_RATES: Final = (0.0, 0.1, 0.3, 0.5, 0.7, 0.85)

Ngrams = dict[tuple[int, ...], int]


def index_ngrams(tokens: Sequence[int]) -> Ngrams:
    """Where the text goes on after each three tokens of it, the last time they came."""
    grams = zip(tokens, islice(tokens, 1, None), islice(tokens, 2, None), strict=False)
    return dict(zip(grams, range(_GRAM, len(tokens)), strict=False))


class RepetitionProposer:
    """The prompt and the answer so far, in which the last tokens stood before."""

    __slots__ = ("_own", "_prompt", "position")

    def __init__(self, prompt: Ngrams) -> None:
        self._prompt = prompt
        self._own: Ngrams = {}
        self.position = DraftPosition(_REPETITION_RATES)

    def follow(self, tokens: Sequence[int], index: int) -> None:
        """`tokens[index]` has come."""
        position = self.position
        if index + 1 < _GRAM:
            return
        gram = tuple(tokens[index + 1 - _GRAM : index + 1])
        if position.at < 0 or not position.compare(tokens[position.at], tokens[index]):
            position.at = self._own.get(gram) or self._prompt.get(gram, -1)
            position.depth = _GRAM
        self._own[gram] = index + 1


class NgramProposer:
    """Follows one answer and guesses its next tokens."""

    __slots__ = ("_first", "_num_seen", "_prediction", "_repetition")

    def __init__(self, prompt: Ngrams, num_prompt: int, prediction: Sequence[int]) -> None:
        """`prompt` are the grams of the first `num_prompt` tokens."""
        self._first = self._num_seen = num_prompt
        self._repetition = RepetitionProposer(prompt)
        self._prediction = PredictionProposer(prediction) if prediction else None

    def follow(self, tokens: Sequence[int]) -> None:
        """Take what has come since the last time; `tokens` are the prompt's and the answer's."""
        repetition, prediction = self._repetition, self._prediction
        for index in range(self._num_seen, len(tokens)):
            repetition.follow(tokens, index)
            if prediction is not None:
                prediction.follow(tokens, index, self._first)
        self._num_seen = len(tokens)

    def guess(self, tokens: Sequence[int], most: int) -> tuple[Sequence[int], DraftPosition]:
        """Up to `most` next tokens, and the trail that tells their chances."""
        repetition, prediction = self._repetition.position, self._prediction
        if prediction is not None and (
            repetition.at < 0 or prediction.position.chance(0) >= repetition.chance(0)
        ):
            return prediction.upcoming(most), prediction.position
        if repetition.at < 0:
            return (), repetition
        period = len(tokens) - repetition.at  # a repetition may overtake its own beginning
        return [tokens[repetition.at + index % period] for index in range(most)], repetition

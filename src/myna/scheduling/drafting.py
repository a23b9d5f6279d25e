"""What an answer will probably say next: it repeats its prompt, itself or its prediction. Pure: only tokens.

Guesses cost no engine time before somebody computes them, so they are compared with every token that comes,
computed or not. How often they were right, by how long the repetition has gone on, tells their chance.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from myna.decoding.prediction import Prediction, Trail

_GRAM: Final = 3  # tokens that must be the same before a repetition is assumed
# Rates to begin with, by the bits of the depth: 0, 1, 2 to 3, 4 to 7, 8 to 15, 16.
_ECHO_RATES: Final = (0.0, 0.1, 0.3, 0.5, 0.7, 0.85)

Grams = dict[tuple[int, ...], int]


def index_grams(tokens: Sequence[int]) -> Grams:
    """Where the text goes on after each three tokens of it, the last time they came."""
    grams = zip(tokens, islice(tokens, 1, None), islice(tokens, 2, None), strict=False)
    return dict(zip(grams, range(_GRAM, len(tokens)), strict=False))


class Echo:
    """The prompt and the answer so far, in which the last tokens stood before."""

    __slots__ = ("_own", "_prompt", "trail")

    def __init__(self, prompt: Grams) -> None:
        self._prompt = prompt
        self._own: Grams = {}
        self.trail = Trail(_ECHO_RATES)

    def follow(self, tokens: Sequence[int], index: int) -> None:
        """`tokens[index]` has come."""
        trail = self.trail
        if index + 1 < _GRAM:
            return
        gram = tuple(tokens[index + 1 - _GRAM : index + 1])
        if trail.at < 0 or not trail.compare(tokens[trail.at], tokens[index]):
            trail.at = self._own.get(gram) or self._prompt.get(gram, -1)
            trail.depth = _GRAM
        self._own[gram] = index + 1


class Drafter:
    """Follows one answer and guesses its next tokens."""

    __slots__ = ("_echo", "_first", "_num_seen", "_prediction")

    def __init__(self, prompt: Grams, num_prompt: int, prediction: Sequence[int]) -> None:
        """`prompt` are the grams of the first `num_prompt` tokens."""
        self._first = self._num_seen = num_prompt
        self._echo = Echo(prompt)
        self._prediction = Prediction(prediction) if prediction else None

    def follow(self, tokens: Sequence[int]) -> None:
        """Take what has come since the last time; `tokens` are the prompt's and the answer's."""
        echo, prediction = self._echo, self._prediction
        for index in range(self._num_seen, len(tokens)):
            echo.follow(tokens, index)
            if prediction is not None:
                prediction.follow(tokens, index, self._first)
        self._num_seen = len(tokens)

    def guess(self, tokens: Sequence[int], most: int) -> tuple[Sequence[int], Trail]:
        """Up to `most` next tokens, and the trail that tells their chances."""
        echo, prediction = self._echo.trail, self._prediction
        if prediction is not None and (echo.at < 0 or prediction.trail.chance(0) >= echo.chance(0)):
            return prediction.upcoming(most), prediction.trail
        if echo.at < 0:
            return (), echo
        period = len(tokens) - echo.at  # a repetition may overtake its own beginning
        return [tokens[echo.at + index % period] for index in range(most)], echo

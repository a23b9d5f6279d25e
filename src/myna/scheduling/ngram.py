"""Proposes draft tokens from repetitions of the prompt, the answer itself or the client's prediction. Pure.

Proposals are compared with every generated token, whether the engine verified them or not. Acceptance rates
are tracked by the length of the match so far."""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from myna.decoding.prediction import DraftPosition, PredictionProposer

_NGRAM_TOKENS: Final = 3  # tokens that must match before a repetition is assumed
# Initial acceptance rates, by the bit length of the depth: 0, 1, 2 to 3, 4 to 7, 8 to 15, 16.
_REPETITION_RATES: Final = (0.0, 0.1, 0.3, 0.5, 0.7, 0.85)

Ngrams = dict[tuple[int, ...], int]


def index_ngrams(tokens: Sequence[int]) -> Ngrams:
    """The index after the last occurrence of each n-gram."""
    ngrams = zip(tokens, islice(tokens, 1, None), islice(tokens, 2, None), strict=False)
    return dict(zip(ngrams, range(_NGRAM_TOKENS, len(tokens)), strict=False))


class RepetitionProposer:
    """Finds the last n-gram earlier in the prompt or the answer."""

    __slots__ = ("_own", "_prompt", "position")

    def __init__(self, prompt: Ngrams) -> None:
        self._prompt = prompt
        self._own: Ngrams = {}
        self.position = DraftPosition(_REPETITION_RATES)

    def observe(self, tokens: Sequence[int], index: int) -> None:
        """`tokens[index]` was generated."""
        position = self.position
        if index + 1 < _NGRAM_TOKENS:
            return
        ngram = tuple(tokens[index + 1 - _NGRAM_TOKENS : index + 1])
        if position.next_index < 0 or not position.compare(tokens[position.next_index], tokens[index]):
            position.next_index = self._own.get(ngram) or self._prompt.get(ngram, -1)
            position.depth = _NGRAM_TOKENS
        self._own[ngram] = index + 1


class NgramProposer:
    """Observes one answer and proposes its next tokens."""

    __slots__ = ("_first", "_num_seen", "_prediction", "_repetition")

    def __init__(self, prompt: Ngrams, num_prompt: int, prediction: Sequence[int]) -> None:
        """`prompt` are the n-grams of the first `num_prompt` tokens."""
        self._first = self._num_seen = num_prompt
        self._repetition = RepetitionProposer(prompt)
        self._prediction = PredictionProposer(prediction) if prediction else None

    def observe(self, tokens: Sequence[int]) -> None:
        """Process the tokens generated since the last call; `tokens` are the prompt's and the answer's."""
        repetition, prediction = self._repetition, self._prediction
        for index in range(self._num_seen, len(tokens)):
            repetition.observe(tokens, index)
            if prediction is not None:
                prediction.observe(tokens, index, self._first)
        self._num_seen = len(tokens)

    def propose(self, tokens: Sequence[int], limit: int) -> tuple[Sequence[int], DraftPosition]:
        """Up to `limit` next tokens, and the position that knows their acceptance rates."""
        repetition, prediction = self._repetition.position, self._prediction
        if prediction is not None and (
            repetition.next_index < 0
            or prediction.position.acceptance_rate(0) >= repetition.acceptance_rate(0)
        ):
            return prediction.propose(limit), prediction.position
        if repetition.next_index < 0:
            return (), repetition
        period = len(tokens) - repetition.next_index  # a repetition may run into its own beginning
        return [tokens[repetition.next_index + index % period] for index in range(limit)], repetition

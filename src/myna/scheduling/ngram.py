"""Proposes draft tokens from repetitions of the prompt, the answer itself or the client's prediction, and
from other answers. Pure.

Proposals are compared with every generated token, whether the engine verified them or not. Acceptance rates
of repetitions are tracked by the length of the match so far."""

import math
from collections.abc import Sequence
from itertools import accumulate, islice
from operator import mul
from typing import Final, NamedTuple

from myna.decoding.prediction import DraftPosition, PredictionProposer
from myna.scheduling.followers import FollowerTable

_NGRAM_TOKENS: Final = 3  # tokens that must match before a repetition is assumed
# Initial acceptance rates, by the bit length of the depth: 0, 1, 2 to 3, 4 to 7, 8 to 15, 16.
_REPETITION_RATES: Final = (0.0, 0.1, 0.3, 0.5, 0.7, 0.85)

Ngrams = dict[tuple[int, ...], int]


class Proposal(NamedTuple):
    """Draft tokens, and for each the probability of being accepted, if those before it are."""

    tokens: Sequence[int] = ()
    rates: Sequence[float] = ()

    @property
    def num_expected(self) -> float:
        """How many are accepted on average, if all are verified."""
        return math.fsum(accumulate(self.rates, mul))


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

    __slots__ = ("_first", "_followers", "_num_seen", "_prediction", "_repetition", "_salt")

    def __init__(
        self, prompt: Ngrams, num_prompt: int, prediction: Sequence[int], followers: FollowerTable, salt: int
    ) -> None:
        """`prompt` are the n-grams of the first `num_prompt` tokens. `followers` learns from the answer, for
        those with the same `salt`."""
        self._first = self._num_seen = num_prompt
        self._repetition = RepetitionProposer(prompt)
        self._prediction = PredictionProposer(prediction) if prediction else None
        self._followers = followers
        self._salt = salt

    def observe(self, tokens: Sequence[int]) -> None:
        """Process the tokens generated since the last call; `tokens` are the prompt's and the answer's."""
        repetition, prediction = self._repetition, self._prediction
        for index in range(self._num_seen, len(tokens)):
            self._followers.learn(self._salt, tokens, index)
            repetition.observe(tokens, index)
            if prediction is not None:
                prediction.observe(tokens, index, self._first)
        self._num_seen = len(tokens)

    def propose(self, tokens: Sequence[int], limit: int, min_probability: float) -> Proposal:
        """Up to `limit` next tokens, from the source that promises most. Those that are accepted with a
        probability below `min_probability` may be left out."""
        found = [Proposal(*self._followers.propose(self._salt, tokens, limit, min_probability))]
        if self._prediction is not None:
            found.append(_proposal(self._prediction.propose(limit), self._prediction.position))
        position = self._repetition.position
        if position.next_index >= 0:
            period = len(tokens) - position.next_index  # a repetition may run into its own beginning
            repeated = [tokens[position.next_index + index % period] for index in range(limit)]
            found.append(_proposal(repeated, position))
        return max(found, key=lambda proposal: (proposal.num_expected, len(proposal.tokens)))


def _proposal(tokens: Sequence[int], position: DraftPosition) -> Proposal:
    return Proposal(tokens, [position.acceptance_rate(ahead) for ahead in range(len(tokens))])

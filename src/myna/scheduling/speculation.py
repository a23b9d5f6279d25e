"""Speculative decoding: chooses how many draft tokens to verify per step. Pure.

A step of n tokens takes about 1 + slope * (n - 1) times as long as a step of one, since its tokens share one
pass over the weights. A draft token is worth verifying while its probability of being accepted outweighs the
time it adds.
"""

from collections.abc import Collection
from typing import Final

from myna.scheduling.followers import FollowerTable
from myna.scheduling.kv_cache import BLOCK_TOKENS, KVCacheManager
from myna.scheduling.ngram import NgramProposer, Proposal, index_ngrams
from myna.scheduling.sequence import Sequence

_MAX_SEQUENCES: Final = 8  # larger batches already share the weights well
_MAX_DRAFT_TOKENS: Final = 15  # of one sequence: 16 rows are a tile of the kernels
_CAUTION: Final = 1.5  # a draft token must be worth this many times its cost
_FIRST_SLOPE: Final = 0.2
_SLOPES: Final = (0.01, 2.0)
_SLOPE_STEP: Final = 1.1
_MIN_RATIO: Final = 2  # steps of nearly one size differ by chance: their pairs would move the slope at random


class StepCosts:
    """Estimates the slope from the times of consecutive steps. Every pair moves it by one fixed factor, so
    that it converges to the median and outliers (a busy machine) hardly matter."""

    __slots__ = ("_last", "slope")

    def __init__(self) -> None:
        self.slope = _FIRST_SLOPE
        self._last = (0, 0.0)

    def observe(self, num_tokens: int, seconds: float) -> None:
        """A step without prompt tokens computed `num_tokens` in `seconds`."""
        few, many = sorted((self._last, (num_tokens, seconds)))
        if few[0] and many[0] < _MIN_RATIO * few[0]:
            return
        self._last = (num_tokens, seconds)
        if not few[0]:
            return
        is_steeper = many[1] * self.relative(few[0]) > few[1] * self.relative(many[0])
        slope = self.slope * _SLOPE_STEP if is_steeper else self.slope / _SLOPE_STEP
        self.slope = min(max(slope, _SLOPES[0]), _SLOPES[1])

    def relative(self, num_tokens: int) -> float:
        """The duration of a step of that many tokens, relative to a step of one."""
        return 1 + self.slope * (num_tokens - 1)


class Speculation:
    """Proposes draft tokens for decoding sequences. Report the durations of steps to `costs`."""

    __slots__ = ("_followers", "_kv_cache", "_max_sequences", "costs")

    def __init__(self, kv_cache: KVCacheManager, *, can_trim: bool) -> None:
        """An engine that can't trim can't roll drafts back."""
        self._kv_cache = kv_cache
        self._max_sequences = _MAX_SEQUENCES if can_trim else 0
        self._followers = FollowerTable()
        self.costs = StepCosts()

    def propose(self, running: Collection[Sequence]) -> dict[Sequence, list[int]]:
        """Draft tokens by sequence; sequences for which verifying doesn't pay are left out."""
        if len(running) > self._max_sequences:
            return {}
        expected, cost = float(len(running)), self.costs.relative(len(running))
        drafts: dict[Sequence, list[int]] = {}
        for sequence in running:
            if not sequence.is_decoding:
                continue
            proposer = sequence.proposer or self._begin(sequence)
            proposer.observe(sequence.tokens)
            num_left = sequence.group.request.max_tokens - sequence.num_generated - 1
            proposal = proposer.propose(
                sequence.tokens, min(num_left, _MAX_DRAFT_TOKENS), _CAUTION * self.costs.slope
            )
            size, expected, cost = self._worthwhile(proposal, expected, cost)
            if size and (draft := self._allowed(sequence, list(proposal.tokens[:size]))):
                drafts[sequence] = draft
        # Each may begin a block and copy another; running sequences keep their reserved room.
        needed = sum(map(len, drafts.values())) + (len(running) + 2 * len(drafts)) * BLOCK_TOKENS
        return drafts if drafts and self._kv_cache.has_room(needed) else {}

    def _worthwhile(self, proposal: Proposal, expected: float, cost: float) -> tuple[int, float, float]:
        """How many of the draft tokens are worth verifying in a step that is expected to yield `expected`
        tokens at `cost`, and both values with them included."""
        probability, size, slope = 1.0, 0, self.costs.slope
        for rate in proposal.rates:
            probability *= rate
            if probability * cost < _CAUTION * slope * expected:
                break
            size, expected, cost = size + 1, expected + probability, cost + slope
        return size, expected, cost

    def _allowed(self, sequence: Sequence, tokens: list[int]) -> list[int]:
        """The draft tokens before an end token that the grammar allows."""
        ends = sequence.group.output.end_tokens
        tokens = tokens[: next((i for i, token in enumerate(tokens) if token in ends), len(tokens))]
        if tokens and sequence.grammar is not None:
            tokens = tokens[: sequence.grammar.num_allowed(tokens)]
        return tokens

    def _begin(self, sequence: Sequence) -> NgramProposer:
        group, request = sequence.group, sequence.group.request
        if group.ngrams is None:
            group.ngrams = index_ngrams(request.prompt_tokens)
        salt = hash((request.owner, request.cache_salt))
        sequence.proposer = NgramProposer(
            group.ngrams, sequence.num_prompt, request.prediction_tokens, self._followers, salt
        )
        return sequence.proposer

"""How many guessed tokens a step should check beside those it must compute: as many as pay. Pure.

A step of n tokens takes about 1 + slope * (n - 1) times as long as a step of one, since a few tokens share
one reading of the weights. A guess pays while its chance to be right is worth more than the time it adds.
"""

from collections.abc import Collection
from typing import Final

from myna.decoding.prediction import DraftPosition
from myna.scheduling.kv_cache import BLOCK_TOKENS, KVCacheManager
from myna.scheduling.ngram import NgramProposer, index_ngrams
from myna.scheduling.sequence import Sequence

_MOST_SEQUENCES: Final = 8  # more than that share the weights without guessing
_MOST_GUESSED: Final = 15  # of one sequence: 16 rows are a tile of the kernels
_CAUTION: Final = 1.5  # a guess must be worth so many times what it costs
_FIRST_SLOPE: Final = 0.2
_SLOPES: Final = (0.01, 2.0)
_SLOPE_STEP: Final = 1.1


class StepCosts:
    """The slope, from the times of steps that followed each other. Every pair moves it by one notch, so
    that it comes to the median, whatever neighbours do to single steps."""

    __slots__ = ("_last", "slope")

    def __init__(self) -> None:
        self.slope = _FIRST_SLOPE
        self._last = (0, 0.0)

    def observe(self, num_tokens: int, seconds: float) -> None:
        """A step without prompts computed so many tokens in that time."""
        few, many = sorted((self._last, (num_tokens, seconds)))
        self._last = (num_tokens, seconds)
        if not few[0] or few[0] == many[0]:
            return
        is_steeper = many[1] * self.relative(few[0]) > few[1] * self.relative(many[0])
        slope = self.slope * _SLOPE_STEP if is_steeper else self.slope / _SLOPE_STEP
        self.slope = min(max(slope, _SLOPES[0]), _SLOPES[1])

    def relative(self, num_tokens: int) -> float:
        """The time of a step of so many tokens, in steps of one."""
        return 1 + self.slope * (num_tokens - 1)


class Speculation:
    """Guesses for the sequences that decode. `costs` wants to know how long steps took."""

    __slots__ = ("_ends", "_kv_cache", "_most_sequences", "costs")

    def __init__(self, kv_cache: KVCacheManager, ends: frozenset[int], *, can_trim: bool) -> None:
        """`ends` are the tokens that end answers; an engine that can't trim can't take a guess back."""
        self._kv_cache = kv_cache
        self._most_sequences = _MOST_SEQUENCES if can_trim else 0
        self._ends = ends
        self.costs = StepCosts()

    def guess(self, running: Collection[Sequence]) -> dict[Sequence, list[int]]:
        """The tokens to check after the next one of each; nothing for those where it doesn't pay."""
        if len(running) > self._most_sequences:
            return {}
        expected, cost = float(len(running)), self.costs.relative(len(running))
        guesses: dict[Sequence, list[int]] = {}
        for sequence in running:
            if not sequence.is_decoding:
                continue
            drafter = sequence.drafter or _begin(sequence)
            drafter.follow(sequence.tokens)
            room = sequence.group.request.max_tokens - sequence.num_generated - 1
            tokens, position = drafter.guess(sequence.tokens, min(room, _MOST_GUESSED))
            if not tokens:
                continue
            size, expected, cost = self._paying(position, len(tokens), expected, cost)
            if size and (guess := self._possible(sequence, list(tokens[:size]))):
                guesses[sequence] = guess
        # Each may begin a block and copy one; whoever runs keeps its room.
        needed = sum(map(len, guesses.values())) + (len(running) + 2 * len(guesses)) * BLOCK_TOKENS
        return guesses if guesses and self._kv_cache.has_room(needed) else {}

    def _paying(
        self, position: DraftPosition, most: int, expected: float, cost: float
    ) -> tuple[int, float, float]:
        """How many of the tokens pay in a step that expects so many tokens for that cost, and both then."""
        chance, size, slope = 1.0, 0, self.costs.slope
        while size < most:
            chance *= position.chance(size)
            if chance * cost < _CAUTION * slope * expected:
                break
            size, expected, cost = size + 1, expected + chance, cost + slope
        return size, expected, cost

    def _possible(self, sequence: Sequence, tokens: list[int]) -> list[int]:
        """Those before the answer's end, and that its grammar allows."""
        if not sequence.group.request.ignore_eos:
            tokens = tokens[: next((i for i, token in enumerate(tokens) if token in self._ends), len(tokens))]
        if tokens and sequence.grammar is not None:
            tokens = tokens[: sequence.grammar.num_allowed(tokens)]
        return tokens


def _begin(sequence: Sequence) -> NgramProposer:
    group = sequence.group
    if group.grams is None:
        group.grams = index_ngrams(group.request.prompt_tokens)
    sequence.drafter = NgramProposer(group.grams, sequence.num_prompt, group.request.prediction_tokens)
    return sequence.drafter

"""What steps cost and yield: measured for the engine, planned for the step that is being built. Pure.

A step of n tokens takes about 1 + slope * (n - 1) times as long as a step of one, since its tokens share one
pass over the weights.
"""

from dataclasses import dataclass
from typing import Final

CAUTION: Final = 1.25  # a draft token must be worth this many times its cost
_FIRST_SLOPE: Final = 0.2
_SLOPES: Final = (0.01, 2.0)
_STEP: Final = 1.1
_MIN_RATIO: Final = 2  # steps of nearly one size differ by chance: their pairs would move the slope at random


def moved(value: float, bounds: tuple[float, float], *, up: bool, step: float = _STEP) -> float:
    """An estimate after one more observation: by one fixed factor, however far off that was, so that it
    converges to the median and outliers hardly matter."""
    return min(max(value * step if up else value / step, bounds[0]), bounds[1])


class StepCosts:
    """Estimates the slope from the times of consecutive steps, and `seconds`, the time of a step of one
    token, 0 before the first. Every pair moves the slope by one fixed factor, so that it converges to the
    median and outliers (a busy machine) hardly matter; every step moves `seconds` so."""

    __slots__ = ("_last", "seconds", "slope")

    def __init__(self) -> None:
        self.slope = _FIRST_SLOPE
        self.seconds = 0.0
        self._last = (0, 0.0)

    def observe(self, num_tokens: int, seconds: float) -> None:
        """A step without prompt tokens computed `num_tokens` in `seconds`."""
        self._observe_slope(num_tokens, seconds)
        alone = seconds / self.relative(num_tokens)
        if not self.seconds:
            self.seconds = alone
        else:
            self.seconds *= _STEP if alone > self.seconds else 1 / _STEP

    def observe_longer(self, seconds: float) -> None:
        """A step with prompt tokens took `seconds`: one of a single token takes no longer. While prompts are
        in every step, this alone corrects a first step that was far too slow."""
        self.seconds = min(self.seconds, seconds)

    def relative(self, num_tokens: int) -> float:
        """The duration of a step of that many tokens, relative to a step of one."""
        return 1 + self.slope * (num_tokens - 1)

    def _observe_slope(self, num_tokens: int, seconds: float) -> None:
        few, many = sorted((self._last, (num_tokens, seconds)))
        if few[0] and many[0] < _MIN_RATIO * few[0]:
            return
        self._last = (num_tokens, seconds)
        if not few[0]:
            return
        is_steeper = many[1] * self.relative(few[0]) > few[1] * self.relative(many[0])
        self.slope = moved(self.slope, _SLOPES, up=is_steeper)


@dataclass(slots=True)
class StepPlan:
    """A step that is expected to yield `tokens` at `cost`, relative to a step of one token. More is worth
    adding while it yields more for its cost than the step does without it."""

    tokens: float
    cost: float

    def pays(self, tokens: float, cost: float, caution: float = CAUTION) -> bool:
        """Whether so many more tokens, on average, are worth their cost."""
        return tokens * self.cost >= caution * cost * self.tokens

    def net(self, tokens: float, cost: float) -> float:
        """How many more tokens those are than the step would yield in the same time without them."""
        return tokens - cost * self.tokens / self.cost

    def add(self, tokens: float, cost: float) -> None:
        self.tokens += tokens
        self.cost += cost

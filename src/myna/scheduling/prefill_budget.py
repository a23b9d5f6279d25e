"""Adapts the number of prompt tokens per step to the measured speed. Pure; the loop reads the clock."""

from typing import Final

from myna.scheduling.step_costs import moved

# While the server works on something else as well, such as a large body, a step takes two or three times as
# long: even then a stream must not wait for 250 ms.
TARGET_S: Final = 0.08
# Where the decodes alone take most of that, prompts would hardly proceed: a step may last this long for them
# to have this many tokens per decode.
_LIMIT_S: Final = 0.12
_TOKENS_PER_DECODE: Final = 4
# Large models read their weights for much of that: prompts would take several times as long as alone. A step
# may last as long as four passes over the weights within this limit, and as long as two beyond it.
_PASSES: Final = 4
_PASSES_LIMIT_S: Final = 0.2
_FEW_PASSES: Final = 2
# While no stream waits, a step may last longer: larger steps are faster. A request that arrives meanwhile
# waits for its end.
_ALONE_S: Final = 0.5
# The tokens that share one pass over the weights, which large models need to proceed; that may last longer
# still.
_ONE_PASS: Final = 256
_LONGEST_S: Final = 2.0
_MIN_TOKENS: Final = 32
_MAX_TOKENS: Final = 8192
_MIN_OBSERVED: Final = 8
_MAX_CHANGE: Final = 2.0
_FIRST_SLOPE: Final = 1e-3  # of small models on CPUs; larger ones have less
_SLOPES: Final = (1e-5, 1e-2)
_SLOPE_STEP: Final = 1.2
# Of two positions, for their difference in time to be more than noise.
_MIN_DISTANCE: Final = 512
_MIN_RATIO: Final = 1.5


class PrefillBudget:
    """`prompt_tokens` is the size of the next step's prompt chunk at the start of a context, `alone_tokens`
    that of a step in which nothing decodes. Each changes by a factor of at most 2 per step, so that one slow
    step (the cores were busy) has little effect.

    A token that follows p others costs `1 + context_slope * p` times as much as the first one, since it
    attends to them. As in `speculation.StepCosts`, each pair of steps moves the slope by one fixed factor, so
    that it converges to the median.
    """

    __slots__ = ("_last", "alone_tokens", "context_slope", "prompt_tokens")

    def __init__(self) -> None:
        self.prompt_tokens = self.alone_tokens = 128
        self.context_slope = _FIRST_SLOPE
        self._last = (0.0, 0, 0, 0.0)

    def observe(
        self,
        num_prompt_tokens: int,
        num_decodes: int,
        seconds: float,
        mean_position: float = 0.0,
        pass_s: float = 0.0,
    ) -> None:
        """A step computed these tokens in `seconds`; `mean_position` is that of the prompt tokens, `pass_s`
        the time of a step of one token. Small prompts are ignored: they say little about speed."""
        if num_prompt_tokens < _MIN_OBSERVED:
            return
        self._observe_slope((mean_position, num_prompt_tokens, num_decodes, seconds))
        work = num_prompt_tokens * (1 + self.context_slope * mean_position)
        rate = (work + num_decodes) / max(seconds, 1e-6)
        at_most = min(rate * _LIMIT_S - num_decodes, _TOKENS_PER_DECODE * num_decodes)
        target_s = max(TARGET_S, min(_PASSES * pass_s, max(_PASSES_LIMIT_S, _FEW_PASSES * pass_s)))
        fitting = max(rate * target_s - num_decodes, at_most)
        self.prompt_tokens = _adapted(self.prompt_tokens, fitting, work)
        alone = max(rate * _ALONE_S, min(_ONE_PASS, rate * _LONGEST_S))
        self.alone_tokens = _adapted(self.alone_tokens, alone, work)

    def _observe_slope(self, step: tuple[float, int, int, float]) -> None:
        near, far = sorted((self._last, step))
        if self._last[1] and far[0] < near[0] * _MIN_RATIO + _MIN_DISTANCE:
            return
        self._last = step
        if not near[1]:
            return
        is_steeper = far[3] * self._work(near) > near[3] * self._work(far)
        self.context_slope = moved(self.context_slope, _SLOPES, up=is_steeper, step=_SLOPE_STEP)

    def _work(self, step: tuple[float, int, int, float]) -> float:
        position, num_prompt_tokens, num_decodes, _ = step
        return num_prompt_tokens * (1 + self.context_slope * position) + num_decodes


def _adapted(current: int, fitting: float, work: float) -> int:
    if fitting > current > 2 * work:
        return current  # the step was far smaller than the budget
    bounded = min(max(fitting, current / _MAX_CHANGE), current * _MAX_CHANGE)
    return int(min(max(bounded, _MIN_TOKENS), _MAX_TOKENS))

"""How many prompt tokens fit in a step, from the speed that steps had. Pure; the loop reads the clock."""

from typing import Final

# Steps aim below the 150 ms that a stream may wait for its next token, since speed varies.
_TARGET_S: Final = 0.12
_FEWEST: Final = 16
_MOST: Final = 8192
_FEWEST_TELLING: Final = 8
_CHANGE: Final = 2.0


class PrefillBudget:
    """`prompt_tokens` is the size of the next step's prompt chunk. It at most doubles or halves at once,
    so that one slow step (a neighbour took the cores) decides little."""

    __slots__ = ("prompt_tokens",)

    def __init__(self) -> None:
        self.prompt_tokens = 128

    def observe(self, num_prompt_tokens: int, num_decodes: int, seconds: float) -> None:
        """A step computed these tokens in that time. Small prompts tell little and are passed over."""
        if num_prompt_tokens < _FEWEST_TELLING:
            return
        rate = (num_prompt_tokens + num_decodes) / max(seconds, 1e-6)
        fitting = rate * _TARGET_S - num_decodes
        if fitting > self.prompt_tokens > 2 * num_prompt_tokens:
            return  # the step was far smaller than what is allowed already
        bounded = min(max(fitting, self.prompt_tokens / _CHANGE), self.prompt_tokens * _CHANGE)
        self.prompt_tokens = int(min(max(bounded, _FEWEST), _MOST))

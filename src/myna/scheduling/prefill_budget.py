"""Adapts the number of prompt tokens per step to the measured speed. Pure; the loop reads the clock."""

from typing import Final

# Below the 150 ms that a stream may wait for its next token, since speed varies.
_TARGET_S: Final = 0.12
_MIN_TOKENS: Final = 16
_MAX_TOKENS: Final = 8192
_MIN_OBSERVED: Final = 8
_MAX_CHANGE: Final = 2.0


class PrefillBudget:
    """`prompt_tokens` is the size of the next step's prompt chunk. It changes by a factor of at most 2 per
    step, so that one slow step (the cores were busy) has little effect."""

    __slots__ = ("prompt_tokens",)

    def __init__(self) -> None:
        self.prompt_tokens = 128

    def observe(self, num_prompt_tokens: int, num_decodes: int, seconds: float) -> None:
        """A step computed these tokens in `seconds`. Small prompts are ignored: they say little about
        speed."""
        if num_prompt_tokens < _MIN_OBSERVED:
            return
        rate = (num_prompt_tokens + num_decodes) / max(seconds, 1e-6)
        fitting = rate * _TARGET_S - num_decodes
        if fitting > self.prompt_tokens > 2 * num_prompt_tokens:
            return  # the step was far smaller than the current budget
        bounded = min(max(fitting, self.prompt_tokens / _MAX_CHANGE), self.prompt_tokens * _MAX_CHANGE)
        self.prompt_tokens = int(min(max(bounded, _MIN_TOKENS), _MAX_TOKENS))

"""How a model's chat template speaks of thoughts before answers: their marks, and how they are asked for."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

# Begin and end of a thought as model families write them.
MARKS: Final = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<thought>", "</thought>"))
# What templates look at; one that knows neither ignores both.
THINK: Final[Mapping[str, object]] = MappingProxyType({"enable_thinking": True, "thinking": True})
DONT_THINK: Final[Mapping[str, object]] = MappingProxyType({"enable_thinking": False, "thinking": False})


class Thinking(msgspec.Struct, frozen=True):
    """What a template was seen to do. `can_skip`: it can be told not to have the model think; `is_default`:
    the model thinks unless told otherwise; `is_open`: the prompt ends inside the thought; `has_effort`: the
    template has words of its own for how much to think."""

    begin: str
    end: str
    can_skip: bool
    is_default: bool
    is_open: bool
    has_effort: bool

    @property
    def is_known(self) -> bool:
        """The model surely thinks when it is asked to: the template has more to say of thoughts than how
        those of earlier answers are left out."""
        return self.can_skip or self.is_open or self.has_effort


def find_thinking(source: str, write: Callable[[Mapping[str, object]], str]) -> Thinking | None:
    """`write` renders a greeting with more variables; None for a template that knows no thoughts."""
    marks = next((pair for pair in MARKS if pair[1] in source), None)
    if marks is None:
        return None
    asked, skipped = write(THINK), write(DONT_THINK)
    is_open = asked.rstrip().endswith(marks[0])
    can_skip = asked != skipped
    return Thinking(
        *marks,
        can_skip=can_skip,
        is_default=write({}) == asked if can_skip else True,
        is_open=is_open,
        has_effort=len({write({**THINK, "reasoning_effort": effort}) for effort in ("low", "high")}) > 1,
    )

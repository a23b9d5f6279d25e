"""How a model's chat template speaks of thoughts before answers: their marks, and how they are asked for."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from myna.core.renderer import Thinking

# Begin and end of a thought as model families write them.
MARKS: Final = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<thought>", "</thought>"))
# What templates look at; one that knows neither ignores both.
THINK: Final[Mapping[str, object]] = MappingProxyType({"enable_thinking": True, "thinking": True})
DONT_THINK: Final[Mapping[str, object]] = MappingProxyType({"enable_thinking": False, "thinking": False})


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

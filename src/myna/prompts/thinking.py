"""Detects how a model's chat template handles thoughts before answers: their markers, and how to request
them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from myna.core.renderer import Thinking

# Begin and end of a thought as model families write them.
MARKERS: Final = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<thought>", "</thought>"))
# The variables that templates check; a template ignores those it doesn't know.
THINK: Final[Mapping[str, object]] = MappingProxyType({"enable_thinking": True, "thinking": True})
DONT_THINK: Final[Mapping[str, object]] = MappingProxyType({"enable_thinking": False, "thinking": False})


def find_thinking(source: str, write: Callable[[Mapping[str, object]], str]) -> Thinking | None:
    """`write` renders a simple message with additional variables. None for a template without thoughts."""
    marks = next((pair for pair in MARKERS if pair[1] in source), None)
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

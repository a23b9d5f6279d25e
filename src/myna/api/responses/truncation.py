"""Truncation: which items of a context may be left out, oldest first, so that it fits a model. Pure."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from myna.wire.response_items import CustomToolCall, FunctionCall, Item, MessageItem, Reasoning, ToolOutput

T = TypeVar("T")
_INSTRUCTIONS: Final = ("system", "developer")


def fitting(items: Sequence[Item], attempt: Callable[[Sequence[Item]], T | None]) -> T | None:
    """What `attempt` returns for the most items that it accepts, or None if it accepts none of them: it
    returns None for items that are too long. The oldest items are left out; calls stay together with their
    outputs, reasoning with what follows from it, and instructions and the newest turn always stay."""
    units = _units(items)
    droppable = [unit for unit in units[:-1] if not _is_instruction(items[unit[0]])]
    best: T | None = None
    low, high = 0, len(droppable)
    while low <= high:
        num_dropped = (low + high) // 2 if low else 0  # usually everything fits
        dropped = {index for unit in droppable[:num_dropped] for index in unit}
        kept = [item for index, item in enumerate(items) if index not in dropped or _is_instruction(item)]
        found = attempt(kept)
        if found is None:
            low = num_dropped + 1
        else:
            best, high = found, num_dropped - 1
    return best


def _units(items: Sequence[Item]) -> list[range]:
    """Ranges of items that stay together."""
    ends = list(range(len(items)))  # the last index of the unit that each item is in
    calls: dict[str, int] = {}
    for index, item in enumerate(items):
        if isinstance(item, FunctionCall | CustomToolCall):
            calls[item.call_id] = index
        elif isinstance(item, ToolOutput) and item.call_id in calls:
            ends[calls[item.call_id]] = index
        elif isinstance(item, Reasoning):
            ends[index] = min(index + 1, len(items) - 1)
    units, start, end = list[range](), 0, 0
    for index in range(len(items)):
        end = max(end, ends[index])
        if index == end:
            units.append(range(start, end + 1))
            start = end = index + 1
    return units


def _is_instruction(item: Item) -> bool:
    return isinstance(item, MessageItem) and item.role in _INSTRUCTIONS

"""Adapts the number of sequences that decode in a step to the measured speed, where a request with many would
slow down the streams of others. Pure; the loop reads the clock."""

from typing import Final

from myna.scheduling.batch import TILE_ROWS
from myna.scheduling.prefill_budget import TARGET_S

_FIRST: Final = 64
_MOST: Final = 4096
_GROWTH: Final = TILE_ROWS // 2
_MAX_CHANGE: Final = 2


class DecodeBudget:
    """`num_decodes` is the size of the next step, if several requests decode: those with many sequences take
    turns then. It grows by half a tile per step while steps of that size are short, and shrinks to what would
    have fitted into a long one, to half of it at most, since the cores may just have been busy."""

    __slots__ = ("num_decodes",)

    def __init__(self) -> None:
        self.num_decodes = _FIRST

    def observe(self, num_decodes: int, seconds: float) -> None:
        """A step without prompt tokens computed so many decodes in `seconds`."""
        fitting = int(num_decodes * TARGET_S / max(seconds, 1e-6))
        current = self.num_decodes
        if seconds > TARGET_S:
            self.num_decodes = max(min(fitting, current), current // _MAX_CHANGE, TILE_ROWS)
        elif num_decodes >= current:
            self.num_decodes = min(fitting, current + _GROWTH, _MOST)

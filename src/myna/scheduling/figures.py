"""Counts a model's steps. Pure; the loop decides when to tell."""

from bisect import bisect_left
from collections.abc import Sequence

from myna.core.figures import BATCH_SIZES, LATENCY_S, STEP_TOKENS, Figures, Spread
from myna.scheduling.batches import Batch
from myna.scheduling.residency import KeyValues
from myna.scheduling.roster import Roster


class _Counter:
    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def count(self, value: float, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds, value)] += times
        self._total += value * times

    def spread(self) -> Spread:
        return Spread(tuple(self._counts), self._total)


class StepCounter:
    """One worker's steps."""

    def __init__(self) -> None:
        self._tokens = _Counter(STEP_TOKENS)
        self._sizes = _Counter(BATCH_SIZES)
        self._gaps = _Counter(LATENCY_S)
        self._last_s = 0.0

    def count(self, batch: Batch, now_s: float) -> None:
        """A step that has just ended. Answers that went on in it had their last token in the one before."""
        if batch.num_decodes:
            self._gaps.count(now_s - self._last_s, batch.num_decodes)
        self._last_s = now_s
        self._tokens.count(batch.num_prompt_tokens + batch.num_decodes)
        self._sizes.count(len(batch.rows))

    def figures(self, roster: Roster, kv: KeyValues, num_arriving: int) -> Figures:
        """Now. `num_arriving` requests are on their way to the roster."""
        # Engines take room by the block, so that what is kept may fill more than its tokens.
        kept = roster.residency.donors.num_tokens
        used = kv.info.kv_tokens - kv.free_tokens - kept if roster.running else 0
        return Figures(
            num_running=len(roster.running),
            num_waiting=len(roster.queue) + len(roster.resumed) + num_arriving,
            kv_usage=min(1.0, max(0.0, used / max(1, kv.info.kv_tokens))),
            num_preempted=roster.num_preempted,
            step_tokens=self._tokens.spread(),
            batch_sizes=self._sizes.spread(),
            between_tokens_s=self._gaps.spread(),
        )

"""Statistics of a model's steps. Pure; the loop decides when to report them."""

from bisect import bisect_left
from collections.abc import Sequence

from myna.core.stats import BATCH_SIZES, LATENCY_S, STEP_TOKENS, HistogramCounts, SchedulerStats


class _Counter:
    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def count(self, value: float, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds, value)] += times
        self._total += value * times

    def counts(self) -> HistogramCounts:
        return HistogramCounts(tuple(self._counts), self._total)


class StepCounter:
    """Counts one worker's steps."""

    def __init__(self) -> None:
        self._tokens = _Counter(STEP_TOKENS)
        self._sizes = _Counter(BATCH_SIZES)
        self._gaps = _Counter(LATENCY_S)
        self._last_s = 0.0

    def count(self, num_tokens: int, num_rows: int) -> None:
        """Count a step of that many tokens, of so many sequences or texts."""
        self._tokens.count(num_tokens)
        self._sizes.count(num_rows)

    def count_decodes(self, num_decodes: int, now_s: float) -> None:
        """Count the decodes of a step that has just ended. Their sequences got their previous token in the
        step before."""
        if num_decodes:
            self._gaps.count(now_s - self._last_s, num_decodes)
        self._last_s = now_s

    def stats(
        self, num_running: int, num_waiting: int, *, kv_usage: float = 0.0, num_preempted: int = 0
    ) -> SchedulerStats:
        """The current statistics."""
        return SchedulerStats(
            num_running=num_running,
            num_waiting=num_waiting,
            kv_usage=kv_usage,
            num_preempted=num_preempted,
            step_tokens=self._tokens.counts(),
            batch_sizes=self._sizes.counts(),
            between_tokens_s=self._gaps.counts(),
        )

"""Statistics of a model's steps. Pure; the loop decides when to report them."""

from bisect import bisect_left
from collections.abc import Sequence

from myna.core.stats import BATCH_SIZES, LATENCY_S, STEP_TOKENS, HistogramCounts, SchedulerStats
from myna.scheduling.batch import Batch
from myna.scheduling.kv_cache import KVStorage
from myna.scheduling.queues import RequestQueues


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

    def count(self, batch: Batch, now_s: float) -> None:
        """Count a step that has just ended. Decoding sequences got their previous token in the step
        before."""
        if batch.num_decodes:
            self._gaps.count(now_s - self._last_s, batch.num_decodes)
        self._last_s = now_s
        self._tokens.count(batch.num_prompt_tokens + batch.num_decodes)
        self._sizes.count(len(batch.rows))

    def stats(self, queues: RequestQueues, kv: KVStorage, num_arriving: int) -> SchedulerStats:
        """The current statistics. `num_arriving` requests have not reached the queues yet."""
        # Engines allocate whole blocks, so cached prefixes may occupy more than their tokens.
        cached = queues.kv_cache.prefix_cache.num_tokens
        used = kv.info.kv_tokens - kv.free_tokens - cached if queues.running else 0
        return SchedulerStats(
            num_running=len(queues.running),
            num_waiting=len(queues.waiting) + num_arriving,
            kv_usage=min(1.0, max(0.0, used / max(1, kv.info.kv_tokens))),
            num_preempted=queues.num_preempted,
            step_tokens=self._tokens.counts(),
            batch_sizes=self._sizes.counts(),
            between_tokens_s=self._gaps.counts(),
        )

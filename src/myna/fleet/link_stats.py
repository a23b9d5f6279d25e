"""Adds up the load statistics of a model's replicas."""

from collections.abc import Sequence

from myna.core.stats import (
    BATCH_SIZES,
    LATENCY_S,
    STEP_TOKENS,
    HistogramCounts,
    ReplicaStats,
    SchedulerStats,
)


def added_up(replicas: Sequence[ReplicaStats]) -> SchedulerStats:
    """The statistics of all together; the use of their KV caches is the mean."""
    parts = [one.stats for one in replicas]
    return SchedulerStats(
        num_running=sum(one.num_running for one in parts),
        num_waiting=sum(one.num_waiting for one in parts),
        kv_usage=sum(one.kv_usage for one in parts) / max(1, len(parts)),
        num_preempted=sum(one.num_preempted for one in parts),
        step_tokens=_histogram(STEP_TOKENS, [one.step_tokens for one in parts]),
        batch_sizes=_histogram(BATCH_SIZES, [one.batch_sizes for one in parts]),
        between_tokens_s=_histogram(LATENCY_S, [one.between_tokens_s for one in parts]),
        replicas=tuple(replicas),
    )


def _histogram(bounds: Sequence[float], parts: Sequence[HistogramCounts]) -> HistogramCounts:
    empty = (0,) * (len(bounds) + 1)
    counts = tuple(map(sum, zip(empty, *(part.counts for part in parts), strict=True)))
    return HistogramCounts(counts, sum(part.total for part in parts))

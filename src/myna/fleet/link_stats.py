"""Adds up the load statistics of a model's replicas."""

from collections.abc import Sequence

from myna.core.stats import HistogramCounts, SchedulerStats


def added_up(stats: Sequence[SchedulerStats]) -> SchedulerStats:
    """The statistics of all together; the use of their KV caches is the mean."""
    return SchedulerStats(
        num_running=sum(one.num_running for one in stats),
        num_waiting=sum(one.num_waiting for one in stats),
        kv_usage=sum(one.kv_usage for one in stats) / len(stats),
        num_preempted=sum(one.num_preempted for one in stats),
        step_tokens=_histogram([one.step_tokens for one in stats]),
        batch_sizes=_histogram([one.batch_sizes for one in stats]),
        between_tokens_s=_histogram([one.between_tokens_s for one in stats]),
    )


def _histogram(parts: Sequence[HistogramCounts]) -> HistogramCounts:
    counts = tuple(map(sum, zip(*(part.counts for part in parts), strict=True)))
    return HistogramCounts(counts, sum(part.total for part in parts))

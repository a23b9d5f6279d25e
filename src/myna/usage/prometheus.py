"""The response to a scrape of `/metrics`, in the text formats of Prometheus."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder

from myna import __version__
from myna.catalog.pool import ModelPool
from myna.core.stats import BATCH_SIZES, LATENCY_S, STEP_TOKENS, HistogramCounts, ReplicaStats, SchedulerStats
from myna.stores.store_writer import StoreWriter
from myna.usage.ledger import Ledger
from myna.usage.metrics import Instruments

_MODEL: Final = ("model_name",)
_REPLICA: Final = ("model_name", "replica")

_GAUGES: Final[tuple[tuple[str, str, Callable[[SchedulerStats], float]], ...]] = (
    ("vllm:num_requests_running", "Sequences in the batch.", lambda stats: stats.num_running),
    ("vllm:num_requests_waiting", "Sequences in the queue.", lambda stats: stats.num_waiting),
    ("vllm:kv_cache_usage_perc", "KV cache usage; 1 is full.", lambda stats: stats.kv_usage),
)
_REPLICA_COUNTS: Final[tuple[tuple[str, str, Callable[[ReplicaStats], int]], ...]] = (
    ("myna_replica_prefix_cache_queries", "Prompt tokens sent to a replica.", lambda one: one.prompt_tokens),
    ("myna_replica_prefix_cache_hits", "Those found in its cache.", lambda one: one.cached_tokens),
)
_HISTOGRAM_COUNTS: Final[
    tuple[tuple[str, str, Sequence[float], Callable[[SchedulerStats], HistogramCounts]], ...]
] = (
    ("vllm:inter_token_latency_seconds", "Time between two tokens.", LATENCY_S, lambda f: f.between_tokens_s),
    (
        "vllm:time_per_output_token_seconds",
        "Older name of inter_token_latency_seconds.",
        LATENCY_S,
        lambda f: f.between_tokens_s,
    ),
    ("vllm:iteration_tokens_total", "Tokens per step.", STEP_TOKENS, lambda f: f.step_tokens),
    ("myna_batch_size", "Sequences per step.", BATCH_SIZES, lambda f: f.batch_sizes),
)


class ServerCollector:
    """Collects the server's own metrics, the workers' last statistics, and the ledger's state."""

    def __init__(
        self, instruments: Instruments, pool: ModelPool, ledger: Ledger | None, writer: StoreWriter
    ) -> None:
        self._instruments = instruments
        self._pool = pool
        self._ledger = ledger
        self._writer = writer

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("myna", "The server.", {"version": __version__})
        yield from self._instruments.collect()
        yield from self._of_workers()
        yield GaugeMetricFamily(
            "myna_stored_waiting_rows",
            "Answers to be stored that are not in the database yet.",
            self._writer.num_waiting,
        )
        yield CounterMetricFamily(
            "myna_stored_dropped_rows",
            "Answers that could not be stored.",
            self._writer.num_dropped,
        )
        if self._ledger is not None:
            state = self._ledger.state
            yield GaugeMetricFamily(
                "myna_ledger_waiting_rows", "Usage rows that are not in the database yet.", state.num_waiting
            )
            yield GaugeMetricFamily(
                "myna_ledger_is_writing", "0 while writing to the database fails.", int(state.is_writing)
            )

    def _of_workers(self) -> Iterator[Metric]:
        running = self._pool.running()
        stats_of = [(model, loaded.last_stats) for model, loaded in running if loaded.last_stats is not None]
        reported = [one for model, stats in stats_of for one in _labelled(model, stats)]
        for name, text, read in _GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=_REPLICA)
            for labels, stats in reported:
                gauge.add_metric(labels, read(stats))
            yield gauge
        preempted = CounterMetricFamily("vllm:num_preemptions", "Preempted sequences.", labels=_REPLICA)
        ready = GaugeMetricFamily("myna_model_is_ready", "1 if the model is loaded and ready.", labels=_MODEL)
        for labels, stats in reported:
            preempted.add_metric(labels, stats.num_preempted)
        for model, running_model in running:
            ready.add_metric((model,), int(running_model.is_ready))
        yield from (preempted, ready)
        for name, text, bounds, read_counts in _HISTOGRAM_COUNTS:
            histogram = HistogramMetricFamily(name, text, labels=_REPLICA)
            for labels, stats in reported:
                counts = read_counts(stats)
                _add(histogram, labels, bounds, counts.counts, counts.total)
            yield histogram
        for name, text, count in _REPLICA_COUNTS:
            counter = CounterMetricFamily(name, text, labels=(*_REPLICA, "node"))
            for model, stats in stats_of:
                for one in stats.replicas:
                    counter.add_metric((model, one.replica, one.node), count(one))
            yield counter


def exposition(
    instruments: Instruments,
    pool: ModelPool,
    ledger: Ledger | None,
    writer: StoreWriter,
    accept: str,
) -> tuple[bytes, str]:
    """The text and its content type, chosen by the `Accept` header."""
    encode, content_type = choose_encoder(accept)
    return encode(ServerCollector(instruments, pool, ledger, writer)), content_type


def _labelled(model: str, stats: SchedulerStats) -> Iterator[tuple[tuple[str, ...], SchedulerStats]]:
    """Statistics with their labels: of each replica, or of the model, which then has no label `replica`."""
    if not stats.replicas:
        yield (model,), stats
    for one in stats.replicas:
        yield (model, one.replica), one.stats


def _add(
    family: HistogramMetricFamily,
    labels: Sequence[str],
    bounds: Sequence[float],
    counts: Iterable[int],
    total: float,
) -> None:
    """Add a sample; Prometheus counts a value in every bucket that it fits, so counts are accumulated."""
    names = [*(str(float(bound)) for bound in bounds), "+Inf"]
    family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total)

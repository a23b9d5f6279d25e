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
from myna.core.stats import BATCH_SIZES, LATENCY_S, STEP_TOKENS, HistogramCounts, SchedulerStats
from myna.stores.store_writer import StoreWriter
from myna.usage.ledger import Ledger
from myna.usage.metrics import Instruments

_MODEL: Final = ("model_name",)

_GAUGES: Final[tuple[tuple[str, str, Callable[[SchedulerStats], float]], ...]] = (
    ("vllm:num_requests_running", "Sequences in the batch.", lambda stats: stats.num_running),
    ("vllm:num_requests_waiting", "Sequences in the queue.", lambda stats: stats.num_waiting),
    ("vllm:kv_cache_usage_perc", "KV cache usage; 1 is full.", lambda stats: stats.kv_usage),
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
        reported = [
            (model, running_model.last_stats)
            for model, running_model in running
            if running_model.last_stats is not None
        ]
        for name, text, read in _GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=_MODEL)
            for model, stats in reported:
                gauge.add_metric((model,), read(stats))
            yield gauge
        preempted = CounterMetricFamily("vllm:num_preemptions", "Preempted sequences.", labels=_MODEL)
        ready = GaugeMetricFamily("myna_model_is_ready", "1 if the model is loaded and ready.", labels=_MODEL)
        for model, stats in reported:
            preempted.add_metric((model,), stats.num_preempted)
        for model, running_model in running:
            ready.add_metric((model,), int(running_model.is_ready))
        yield from (preempted, ready)
        for name, text, bounds, read_counts in _HISTOGRAM_COUNTS:
            histogram = HistogramMetricFamily(name, text, labels=_MODEL)
            for model, stats in reported:
                counts = read_counts(stats)
                _add(histogram, (model,), bounds, counts.counts, counts.total)
            yield histogram


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

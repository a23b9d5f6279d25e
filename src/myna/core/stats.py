"""Load statistics of a model, reported by its worker."""

from typing import Final

import msgspec

STEP_TOKENS: Final = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
LATENCY_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class HistogramCounts(msgspec.Struct, frozen=True, array_like=True):
    """A histogram: `counts` of the values up to each bound and above the last; `total` is the sum of the
    values."""

    counts: tuple[int, ...]
    total: float


class SchedulerStats(msgspec.Struct, frozen=True, array_like=True):
    """The current state of a model, and counts since its worker started.

    `kv_usage`, from 0 to 1, is the share of the KV cache that running sequences use; cached prefixes count as
    free. `step_tokens` and `batch_sizes` have one value per step, `between_tokens_s` one for each sequence
    decoded in the step; bucketed by the bounds above. `replicas` are those of a model that has several, of
    which the rest is the sum.
    """

    num_running: int
    num_waiting: int
    kv_usage: float
    num_preempted: int
    step_tokens: HistogramCounts
    batch_sizes: HistogramCounts
    between_tokens_s: HistogramCounts
    replicas: "tuple[ReplicaStats, ...]" = ()


class ReplicaStats(msgspec.Struct, frozen=True, array_like=True):
    """One replica, on the machine `node`. Of the `prompt_tokens` that this server has sent it since it was
    connected, `cached_tokens` were in its prefix cache."""

    replica: str
    node: str
    stats: SchedulerStats
    prompt_tokens: int
    cached_tokens: int

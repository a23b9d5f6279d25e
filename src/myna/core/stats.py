"""How busy a model is: what its worker tells now and then, for whoever watches."""

from typing import Final

import msgspec

STEP_TOKENS: Final = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
LATENCY_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class HistogramCounts(msgspec.Struct, frozen=True, array_like=True):
    """A histogram: `counts` of values up to each bound and above the last; `total` is their sum."""

    counts: tuple[int, ...]
    total: float


class SchedulerStats(msgspec.Struct, frozen=True, array_like=True):
    """A moment of a model's life; the counts are of all of it, since its worker began.

    `kv_usage` from 0 to 1 is the room that running sequences take; what is kept for reuse counts as free.
    `step_tokens` and `batch_sizes` have a value a step, `between_tokens_s` one for every answer that the step
    went on with; by the bounds above.
    """

    num_running: int
    num_waiting: int
    kv_usage: float
    num_preempted: int
    step_tokens: HistogramCounts
    batch_sizes: HistogramCounts
    between_tokens_s: HistogramCounts

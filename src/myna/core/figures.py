"""How busy a model is: what its worker tells now and then, for whoever watches."""

from typing import Final

import msgspec

STEP_TOKENS: Final = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Spread(msgspec.Struct, frozen=True, array_like=True):
    """A histogram: `counts` of values up to each bound and above the last; `total` is their sum."""

    counts: tuple[int, ...]
    total: float


class Figures(msgspec.Struct, frozen=True, array_like=True):
    """A moment of a model's life; the counts are of all of it, since its worker began.

    `kv_usage` from 0 to 1 is the room that running sequences take; what is kept for reuse counts as free.
    `step_tokens` and `batch_sizes` have a value a step, by the bounds above.
    """

    num_running: int
    num_waiting: int
    kv_usage: float
    num_preempted: int
    step_tokens: Spread
    batch_sizes: Spread

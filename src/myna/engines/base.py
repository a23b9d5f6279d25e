"""The lower seam: what our scheduler drives. All calls come from one thread."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from myna.core.generator import ModelInfo


class OutOfRoom(Exception):
    """`forward` could not place its tokens in the KV cache; nothing was changed."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one sequence to compute: `tokens` stand at positions `start`, `start + 1`, ...

    `logits_from` is the first index into `tokens` whose logits are wanted; `len(tokens)` for none
    (a prompt's chunk that is not its last), `len(tokens) - 1` for the usual last position,
    0 for all (prompt log-probabilities, drafts to verify).
    """

    sequence: int
    tokens: Sequence[int]
    start: int
    logits_from: int


class Logits(Protocol):
    """The wanted rows of one `forward`, in batch order; valid until the next `forward`."""

    @property
    def array(self) -> npt.NDArray[np.float32]:
        """Shape (wanted rows, vocabulary), read in place, C-contiguous in its last axis."""
        ...


class Engine(Protocol):
    """Weights, KV cache and arithmetic of one model. Sequence ids are small integers chosen by the
    scheduler in [0, info.max_sequences); a sequence begins to exist with its first `forward` or
    `fork`."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def can_trim(self) -> bool:
        """False for recurrent models, whose state has no tail to forget."""
        ...

    @property
    def prefix_cache_tokens(self) -> int:
        """How many tokens of finished sequences may stay in the KV cache for reuse."""
        ...

    @property
    def is_batch_invariant(self) -> bool:
        """Whether a sequence's logits have the same bits in any batch, chunking and reuse."""
        ...

    @property
    def free_tokens(self) -> int:
        """KV room left, shared tokens counted once, in tokens."""
        ...

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Compute all rows, or raise `OutOfRoom` and change nothing. Releases the GIL."""
        ...

    def fork(self, source: int, target: int, num_tokens: int) -> None:
        """`target` (empty before) shares the first `num_tokens` of `source`; copy on write."""
        ...

    def trim(self, sequence: int, num_tokens: int) -> None:
        """Keep the first `num_tokens` of the sequence."""
        ...

    def free(self, sequence: int) -> None:
        """Forget the sequence; unknown ids are ignored."""
        ...

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """The engine's own tokenizer; raises NotImplementedError where it has none."""
        ...

    def close(self) -> None: ...

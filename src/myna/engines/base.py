"""The interfaces of engines, which a scheduler drives. All calls come from one thread."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from myna.core.generator import ModelInfo


def with_cache_type(arithmetic: str, kv_cache_type: str) -> str:
    """The name of an arithmetic with a KV cache of that type, which computes other numbers."""
    return arithmetic if kv_cache_type == "auto" else f"{arithmetic}-{kv_cache_type}"


class KVCacheFull(Exception):
    """`forward` found no room for its tokens in the KV cache; nothing was changed."""


class BatchRow(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one sequence to compute: `tokens` are at positions `start`, `start + 1`, ...

    `logits_from` is the first index into `tokens` whose logits are needed: `len(tokens)` for none (a chunk of
    a prompt other than its last), `len(tokens) - 1` for the usual last position, 0 for all (prompt
    log-probabilities, draft tokens to verify)."""

    sequence: int
    tokens: Sequence[int]
    start: int
    logits_from: int


class Logits(Protocol):
    """The requested rows of one `forward`, in batch order; valid until the next `forward`."""

    @property
    def array(self) -> npt.NDArray[np.float32]:
        """Shape (requested rows, vocabulary), read in place, C-contiguous in its last axis."""
        ...


class BlockStorage(Protocol):
    """Saves and restores an engine's KV cache, in whole blocks of `kv_cache.BLOCK_TOKENS` tokens. What is
    restored has the same bits as what is computed."""

    @property
    def block_bytes(self) -> int:
        """The size of a saved block."""
        ...

    def read_blocks(self, sequence: int, first: int, target: npt.NDArray[np.uint8]) -> None:
        """Copy as many whole blocks of the sequence as fill `target` into it, from block `first` on."""
        ...

    def append_blocks(self, sequence: int, source: npt.NDArray[np.uint8]) -> None:
        """Append saved blocks to the sequence, which has whole blocks or none. Raises `KVCacheFull`, and
        changes nothing then."""
        ...


class BaseEngine(Protocol):
    """What engines of both kinds have."""

    @property
    def info(self) -> ModelInfo: ...

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokenize with the engine's own tokenizer; raises NotImplementedError if it has none."""
        ...

    def close(self) -> None: ...


class Engine(BaseEngine, Protocol):
    """Weights, KV cache and computation of one model. Sequence ids are small integers in [0,
    info.max_sequences), chosen by the scheduler; a sequence is created by its first `forward` or `fork`."""

    @property
    def num_threads(self) -> int:
        """How many threads compute a step."""
        ...

    @property
    def can_trim(self) -> bool:
        """Whether rejected drafts can be undone at little cost."""
        ...

    @property
    def prefix_grid(self) -> int:
        """Prefixes can be shared at multiples of it: 1, unless a state is kept only there."""
        ...

    @property
    def prefix_cache_tokens(self) -> int:
        """How many tokens of finished sequences the KV cache may keep for reuse."""
        ...

    @property
    def is_batch_invariant(self) -> bool:
        """Whether a sequence's logits are bitwise the same, whatever the batch, chunking and prefix reuse."""
        ...

    @property
    def blocks(self) -> BlockStorage | None:
        """None if the KV cache can't be saved, or is not the model's whole state."""
        ...

    @property
    def free_tokens(self) -> int:
        """Free KV memory, in tokens; shared tokens count once."""
        ...

    def forward(self, batch: Sequence[BatchRow]) -> Logits:
        """Compute all rows, or raise `KVCacheFull` and change nothing. Releases the GIL."""
        ...

    def reusable(self, sequence: int, num_tokens: int) -> int:
        """The longest part of the sequence's first `num_tokens` that `fork` can share and `trim` can leave:
        all of them, but for a recurrent model only up to where it kept a state."""
        ...

    def fork(self, source: int, target: int, num_tokens: int) -> None:
        """Let `target`, which must be empty, share the first `num_tokens` of `source`, which are `reusable`;
        copy-on-write."""
        ...

    def trim(self, sequence: int, num_tokens: int) -> None:
        """Truncate the sequence to its first `num_tokens`, which are `reusable`."""
        ...

    def free(self, sequence: int) -> None:
        """Delete the sequence; unknown ids are ignored."""
        ...

    def prepare_memory(self) -> bool:
        """Called while idle: prepare a little of the memory that the next requests will need; False if
        nothing is left to prepare. Takes milliseconds, so that a request that arrives hardly waits."""
        ...


class EmbeddingEngine(BaseEngine, Protocol):
    """Weights and computation of a model that turns texts into vectors; `info.embedding` is set. It keeps
    nothing between two calls."""

    @property
    def is_batch_invariant(self) -> bool:
        """Whether a text's vector is bitwise the same, whatever else is in the batch."""
        ...

    def embed(self, texts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """A vector of unit length for each text, in order: shape (texts, `info.embedding.width`),
        C-contiguous. There are at most `info.max_sequences` texts, of 1 to `info.context_tokens` tokens each,
        special tokens included, and at most `info.kv_tokens` together. Texts are not padded: they neither see
        each other nor anything that isn't theirs. Releases the GIL."""
        ...

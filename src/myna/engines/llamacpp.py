"""llama.cpp as an engine: many sequences in one unified KV cache, and the states of recurrent layers. Knows
nothing about requests."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from myna.core.errors import ConfigurationError, ModelLoadFailed
from myna.core.generator import ModelInfo
from myna.core.translatable import N_
from myna.engines.base import BatchRow, KVCacheFull, with_cache_type
from myna.engines.llamacpp_batch import Batch, ForeignArray, split
from myna.engines.llamacpp_library import (
    BATCH_TOKENS,
    LOG,
    Model,
    arithmetic_of_library,
    llama_cpp,
    usable_cores,
)
from myna.engines.llamacpp_sequences import Sequences
from myna.engines.llamacpp_sizes import divide

# Every decode step also walks the cells of idle sequences. A single stream of 512 tokens (smollm2-135m, one
# thread, processor time) keeps 0.99 of its speed with 2,048 of them, 0.90 with 4,096 and 0.77 with 8,192.
PREFIX_CACHE_TOKENS: Final = 4_096
# A recurrent model's states are kept at multiples of it. Parts of prompts end there, and so are not shorter.
SNAPSHOT_TOKENS: Final = 256
_NO_KV_SLOT: Final = 1


class LlamaCppEngine:
    """See `engines.base.Engine`. Not batch-invariant: the summation order of its kernels depends on the
    batch. `num_ids` are llama.cpp's sequences; those that the scheduler doesn't use keep snapshots."""

    is_batch_invariant = False

    def __init__(self, model: Model, info: ModelInfo, *, threads: int, num_ids: int) -> None:
        self.info = info
        self.num_threads: Final = threads
        self._model = model
        self._context = model.open_context(info.kv_tokens, threads, num_ids)
        self._batch = Batch(BATCH_TOKENS)
        self.can_trim: Final = not model.is_recurrent
        grid = 0 if self.can_trim else SNAPSHOT_TOKENS
        snapshot_ids = range(info.max_sequences, num_ids)
        self._sequences = Sequences(self._context, info.kv_tokens, snapshot_ids, grid)
        self.prefix_grid: Final = grid or 1

    @property
    def blocks(self) -> None:
        return None

    @property
    def prefix_cache_tokens(self) -> int:
        return min(PREFIX_CACHE_TOKENS, self.info.kv_tokens // 2)

    @property
    def free_tokens(self) -> int:
        return self._sequences.num_free

    def forward(self, batch: Sequence[BatchRow]) -> "_Logits":
        for row in batch:
            length = self._sequences.length(row.sequence)
            if row.start != length or not row.tokens:
                raise ValueError(
                    f"sequence {row.sequence} has {length} tokens, not {row.start}, or its row is empty"
                )
        if sum(len(row.tokens) for row in batch) > self._sequences.num_free:
            raise KVCacheFull
        return self._decode(batch)

    def reusable(self, sequence: int, num_tokens: int) -> int:
        return self._sequences.reusable(sequence, num_tokens)

    def fork(self, source: int, target: int, num_tokens: int) -> None:
        self._sequences.fork(source, target, num_tokens)

    def trim(self, sequence: int, num_tokens: int) -> None:
        self._sequences.trim(sequence, num_tokens)

    def free(self, sequence: int) -> None:
        self._sequences.free(sequence)

    def prepare_memory(self) -> bool:
        return False

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return self._model.tokenize(text, parse_special=parse_special)

    def close(self) -> None:
        if self._context is not None:
            llama_cpp.llama_free(self._context)
            self._context = None
        self._model.close()

    def _decode(self, batch: Sequence[BatchRow]) -> "_Logits":
        """One call if the batch fits into llama.cpp's, otherwise several, whose logits are concatenated."""
        parts = split(batch, BATCH_TOKENS, self._sequences.grid)
        arrays: list[npt.NDArray[np.float32]] = []
        try:
            for part in parts:
                arrays.append(self._decode_part(part, is_only=len(parts) == 1))
                self._sequences.extend(part)
        except BaseException as error:
            if arrays and not self.can_trim:  # states can't go back
                raise RuntimeError("llama.cpp failed within a batch") from error
            for row in batch:  # undo the parts before the failed one, too: nothing may change
                self._sequences.undo(row)
            raise
        return _Logits(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))

    def _decode_part(self, rows: Sequence[BatchRow], *, is_only: bool) -> npt.NDArray[np.float32]:
        num_outputs = self._batch.fill(rows)
        status = llama_cpp.llama_decode(self._context, self._batch.struct)
        if status == _NO_KV_SLOT:
            raise KVCacheFull
        if status:
            raise RuntimeError(f"llama.cpp failed to decode a batch (status {status}): {LOG.last_errors}")
        shape = (num_outputs, self.info.vocab_size)
        if not num_outputs:
            return np.empty(shape, np.float32)
        address = ctypes.cast(llama_cpp.llama_get_logits(self._context), ctypes.c_void_p).value
        view = np.asarray(ForeignArray(address or 0, shape))
        return view if is_only else view.copy()


class _Logits:
    """The requested rows of one forward, in place in llama.cpp's buffer."""

    __slots__ = ("array",)

    def __init__(self, array: npt.NDArray[np.float32]) -> None:
        self.array = array


def load(
    path: str,
    *,
    context_tokens: int,
    memory_bytes: int,
    threads: int,
    max_kv_bytes: int = 0,
    kv_cache_type: str = "auto",
) -> LlamaCppEngine:
    """See `registry.load_engine`."""
    if not Path(path).is_file():
        raise ModelLoadFailed(N_("The model file {path} does not exist.", path=path))
    model = Model(path, kv_cache_type)
    try:
        context = min(context_tokens or model.trained_tokens, model.trained_tokens)
        sizes = divide(model.costs(), context, memory_bytes, max_kv_bytes)
        context = min(context, sizes.kv_tokens)
        if context_tokens > context:
            raise ConfigurationError(
                N_(
                    "A context of {context_tokens} tokens exceeds what this model and memory allow "
                    "({limit}).",
                    context_tokens=context_tokens,
                    limit=context,
                )
            )
        info = ModelInfo(
            engine="llamacpp",
            architecture=model.text("general.architecture"),
            vocab_size=model.vocab_size,
            context_tokens=context,
            kv_tokens=sizes.kv_tokens,
            max_sequences=sizes.num_sequences,
            arithmetic=with_cache_type(arithmetic_of_library(), kv_cache_type),
            eos_tokens=model.eos_tokens(),
        )
        return LlamaCppEngine(model, info, threads=threads or usable_cores(), num_ids=sizes.num_ids)
    except BaseException:
        model.close()
        raise

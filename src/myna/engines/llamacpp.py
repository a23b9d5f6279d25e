"""llama.cpp as an engine: many sequences in one unified KV cache, through its C API only.

Owns the context and an exact account of the KV cells in use; knows nothing about requests. A malicious file
can crash this process: run it in a worker, after `prompts.model_check`."""

import ctypes
import hashlib
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psutil

from myna.core.errors import ConfigurationError, ModelLoadFailed
from myna.core.generator import ModelInfo
from myna.core.translatable import N_
from myna.engines.base import BatchRow, KVCacheFull
from myna.engines.cells import CellAllocator

# llama.cpp's threads synchronize hundreds of times per token, and OpenMP spins there by default. If another
# process (such as Myna's server) needs a core, that was up to thirty times slower than sleeping.
if "GOMP_SPINCOUNT" not in os.environ:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import llama_cpp

BATCH_TOKENS: Final = 2048
MICRO_BATCH_TOKENS: Final = 512
MAX_SEQUENCES: Final = 256
DEFAULT_KV_TOKENS: Final = 32_768
CELL_STEP: Final = 256  # llama.cpp rounds the cache up to this
# Every decode step also walks the cells of idle sequences. A single stream of 512 tokens (smollm2-135m, one
# thread, processor time) keeps 0.99 of its speed with 2,048 of them, 0.90 with 4,096 and 0.77 with 8,192.
PREFIX_CACHE_TOKENS: Final = 4_096
_NO_KV_SLOT: Final = 1
_ERROR_LEVEL: Final = 4


class LlamaCppEngine:
    """See `engines.base.Engine`. Not batch-invariant: the summation order of its kernels depends on the
    batch."""

    is_batch_invariant = False

    def __init__(self, model: "Model", info: ModelInfo, *, threads: int) -> None:
        self.info = info
        self._model = model
        self._context = model.open_context(info.kv_tokens, threads)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._cells = CellAllocator(info.kv_tokens)
        self._batch = Batch(BATCH_TOKENS)
        self.can_trim: Final = not model.is_recurrent
        self.prefix_grid: Final = 1 if self.can_trim else info.context_tokens

    @property
    def blocks(self) -> None:
        return None

    @property
    def prefix_cache_tokens(self) -> int:
        return min(PREFIX_CACHE_TOKENS, self.info.kv_tokens // 2) if self.can_trim else 0

    @property
    def free_tokens(self) -> int:
        return self._cells.num_free

    def forward(self, batch: Sequence[BatchRow]) -> "_Logits":
        for row in batch:
            if row.start != self._cells.length(row.sequence) or not row.tokens:
                raise ValueError(
                    f"sequence {row.sequence} has {self._cells.length(row.sequence)} tokens, "
                    f"not {row.start}, or its row is empty"
                )
        if sum(len(row.tokens) for row in batch) > self._cells.num_free:
            raise KVCacheFull
        logits = self._decode(batch)
        for row in batch:
            self._cells.extend(row.sequence, len(row.tokens))
        return logits

    def reusable(self, sequence: int, num_tokens: int) -> int:
        length = self._cells.length(sequence)
        if self.can_trim:
            return min(num_tokens, length)
        return length if num_tokens >= length else 0

    def fork(self, source: int, target: int, num_tokens: int) -> None:
        if self.reusable(source, num_tokens) != num_tokens:
            raise ValueError("a recurrent model's sequence can only be forked as a whole")
        self._cells.fork(source, target, num_tokens)
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, num_tokens)

    def trim(self, sequence: int, num_tokens: int) -> None:
        if num_tokens >= self._cells.length(sequence):
            return
        if not self.can_trim:
            raise ValueError("a recurrent model's sequence can't be truncated")
        self._cells.trim(sequence, num_tokens)
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, num_tokens, -1)

    def free(self, sequence: int) -> None:
        if self._cells.free(sequence):
            llama_cpp.llama_memory_seq_rm(self._memory, sequence, -1, -1)

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
        parts = list(split(batch, BATCH_TOKENS))
        try:
            arrays = [self._decode_part(part, is_only=len(parts) == 1) for part in parts]
        except BaseException:
            for row in batch:  # undo the parts before the failed one, too: nothing may change
                llama_cpp.llama_memory_seq_rm(self._memory, row.sequence, row.start, -1)
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


class ForeignArray:
    """Lets numpy read llama.cpp's floats in place."""

    def __init__(self, address: int, shape: tuple[int, ...]) -> None:
        self.__array_interface__ = {"version": 3, "typestr": "<f4", "shape": shape, "data": (address, True)}


class Batch:
    """llama.cpp's batch struct over our own numpy arrays, refilled at each step."""

    def __init__(self, capacity: int) -> None:
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._counts = np.ones(capacity, np.int32)
        self._sequences = np.zeros(capacity, np.int32)
        start = self._sequences.ctypes.data
        self._pointers = (start + 4 * np.arange(capacity)).astype(np.uintp)
        self._wanted = np.zeros(capacity, np.int8)
        self.struct = llama_cpp.llama_batch()
        self.struct.token = _pointer(self._tokens, llama_cpp.llama_token)
        self.struct.pos = _pointer(self._positions, llama_cpp.llama_pos)
        self.struct.n_seq_id = _pointer(self._counts, ctypes.c_int32)
        self.struct.seq_id = _pointer(self._pointers, ctypes.POINTER(llama_cpp.llama_seq_id))
        self.struct.logits = _pointer(self._wanted, ctypes.c_int8)

    def fill(self, rows: Sequence[BatchRow]) -> int:
        """Write the rows into the arrays; returns how many rows of logits they request."""
        index = outputs = 0
        for row in rows:
            size = len(row.tokens)
            end = index + size
            self._tokens[index:end] = row.tokens
            self._positions[index:end] = (
                range(row.start, row.start + size) if size < 9 else np.arange(row.start, row.start + size)
            )
            self._sequences[index:end] = row.sequence
            self._wanted[index:end] = 0
            self._wanted[index + row.logits_from : end] = 1
            outputs += size - row.logits_from
            index = end
        self.struct.n_tokens = index
        return outputs


def _pointer(array: npt.NDArray[Any], kind: Any) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))


def split(batch: Sequence[BatchRow], limit: int) -> Sequence[Sequence[BatchRow]]:
    """The same tokens in parts of at most `limit`."""
    if sum(len(row.tokens) for row in batch) <= limit:
        return [batch]
    parts: list[list[BatchRow]] = [[]]
    room = limit
    for row in batch:
        index = 0
        while index < len(row.tokens):
            if room == 0:
                parts.append([])
                room = limit
            tokens = row.tokens[index : index + room]
            wanted_from = min(max(row.logits_from - index, 0), len(tokens))
            parts[-1].append(BatchRow(row.sequence, tokens, row.start + index, wanted_from))
            index += len(tokens)
            room -= len(tokens)
    return parts


class Model:
    """A loaded model."""

    def __init__(self, path: str) -> None:
        LOG.attach()
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = not _has_matrix_tiles()
        self.handle: Any = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not self.handle:
            raise ModelLoadFailed(
                N_("llama.cpp can't load {path}: {reason}", path=path, reason=LOG.last_errors)
            )
        self._vocab = llama_cpp.llama_model_get_vocab(self.handle)
        self.vocab_size: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.trained_tokens: int = llama_cpp.llama_model_n_ctx_train(self.handle)
        self.is_recurrent = bool(
            llama_cpp.llama_model_is_recurrent(self.handle) or llama_cpp.llama_model_is_hybrid(self.handle)
        )

    def text(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(256)
        size = llama_cpp.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if size >= 0 else ""

    def kv_bytes_per_token(self) -> int:
        """The size of a cell of the cache: keys and values of all blocks in 16-bit floats."""
        architecture = self.text("general.architecture")
        blocks: int = llama_cpp.llama_model_n_layer(self.handle)
        heads = max(1, llama_cpp.llama_model_n_head_kv(self.handle))
        query_heads = max(1, llama_cpp.llama_model_n_head(self.handle))
        width = llama_cpp.llama_model_n_embd(self.handle) // query_heads
        key_width = self.text(f"{architecture}.attention.key_length")
        value_width = self.text(f"{architecture}.attention.value_length")
        return int(2 * blocks * heads * (int(key_width or width) + int(value_width or width)))

    def eos_tokens(self) -> tuple[int, ...]:
        is_end, vocab = llama_cpp.llama_vocab_is_eog, self._vocab
        return tuple(token for token in range(self.vocab_size) if is_end(vocab, token))

    def open_context(self, kv_tokens: int, threads: int) -> Any:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = kv_tokens
        params.n_batch = BATCH_TOKENS
        params.n_ubatch = MICRO_BATCH_TOKENS
        params.n_seq_max = MAX_SEQUENCES
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        # Full windows; otherwise sliding-window models could neither fork nor trim.
        params.swa_full = True
        params.no_perf = True
        context = llama_cpp.llama_init_from_model(self.handle, params)
        if not context:
            raise ModelLoadFailed(
                N_(
                    "llama.cpp can't allocate a KV cache of {kv_tokens} tokens: {reason}",
                    kv_tokens=kv_tokens,
                    reason=LOG.last_errors,
                )
            )
        return context

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        while True:
            out = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(self._vocab, data, len(data), out, room, False, parse_special)
            if count >= 0:
                return out[:count]
            room = -count

    def close(self) -> None:
        if self.handle:
            llama_cpp.llama_model_free(self.handle)
            self.handle = None


def _has_matrix_tiles() -> bool:
    """Whether llama.cpp was built with AMX. It then crashes at the first batch (`ldtilecfg` rejects its tile
    configuration), unless weights aren't repacked for tiles: then it uses its AVX-512 kernels."""
    return b"AMX_INT8 = 1" in llama_cpp.llama_print_system_info()


class _LogCapture:
    """Captures llama.cpp's last errors instead of printing them. Its log is global to the process, and so is
    this."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=4)
        self._callback = llama_cpp.llama_log_callback(self._on_log)

    def attach(self) -> None:
        self._lines.clear()
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    @property
    def last_errors(self) -> str:
        return "; ".join(self._lines) or "no reason given"

    def _on_log(self, level: int, text: bytes, _: object) -> None:
        if level == _ERROR_LEVEL and text.strip():
            self._lines.append(text.decode("utf-8", "replace").strip()[:300])


# llama.cpp may call it at any time, so it must live as long as the process.
LOG: Final = _LogCapture()


def load(
    path: str, *, context_tokens: int, memory_bytes: int, threads: int, max_kv_bytes: int = 0
) -> LlamaCppEngine:
    """See `registry.load_engine`."""
    if not Path(path).is_file():
        raise ModelLoadFailed(N_("The model file {path} does not exist.", path=path))
    model = Model(path)
    try:
        context = min(context_tokens or model.trained_tokens, model.trained_tokens)
        kv_tokens = _kv_tokens(model, context, memory_bytes, max_kv_bytes)
        context = min(context, kv_tokens)
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
            kv_tokens=kv_tokens,
            max_sequences=MAX_SEQUENCES,
            arithmetic=arithmetic_of_library(),
            eos_tokens=model.eos_tokens(),
        )
        return LlamaCppEngine(model, info, threads=threads or usable_cores())
    except BaseException:
        model.close()
        raise


def _kv_tokens(model: Model, context: int, memory_bytes: int, max_kv_bytes: int) -> int:
    budget = memory_bytes or max_kv_bytes or psutil.virtual_memory().available // 4
    limit = budget // max(1, model.kv_bytes_per_token()) // CELL_STEP * CELL_STEP
    if limit < CELL_STEP:
        raise ModelLoadFailed(
            N_(
                "{size} MiB can't hold the KV cache of {num_tokens} tokens, the minimum for this model.",
                size=budget >> 20,
                num_tokens=CELL_STEP,
            )
        )
    wanted = max(context, DEFAULT_KV_TOKENS) if not memory_bytes else limit
    return min(
        limit, -(-wanted // CELL_STEP) * CELL_STEP, MAX_SEQUENCES * -(-context // CELL_STEP) * CELL_STEP
    )


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def arithmetic_of_library() -> str:
    """Identifies the library's version and the processor features that it uses."""
    features = hashlib.sha256(llama_cpp.llama_print_system_info()).hexdigest()[:16]
    return f"llamacpp-{llama_cpp.__version__}-{features}"

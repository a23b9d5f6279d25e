"""llama.cpp through its C API only: the library, its log, a loaded model. Import it from here.

A malicious file can crash this process: run it in a worker, after `prompts.model_check`."""

import ctypes
import hashlib
import os
from collections import deque
from typing import Any, Final, NamedTuple

from myna.core.errors import ModelLoadFailed
from myna.core.translatable import N_

# llama.cpp's threads synchronize hundreds of times per token, and OpenMP spins there by default. If another
# process (such as Myna's server) needs a core, that was up to thirty times slower than sleeping.
if "GOMP_SPINCOUNT" not in os.environ:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import llama_cpp as llama_cpp

BATCH_TOKENS: Final = 2048
MICRO_BATCH_TOKENS: Final = 512
CELL_STEP: Final = 256  # llama.cpp rounds the cache up to this
_CELL_UNIT: Final = 64  # what is less of a cell's size is for its position and sequences
_ERROR_LEVEL: Final = 4


class Costs(NamedTuple):
    """The bytes of a cell of the cache, which holds a token's keys and values in all layers that have some,
    and of a state of the recurrent layers, if there are any."""

    cell_bytes: int
    state_bytes: int


def context_params(kv_tokens: int, threads: int, sequences: int) -> Any:
    """What all contexts have in common; the sizes of batches are left to the caller."""
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = kv_tokens
    params.n_seq_max = sequences
    params.n_threads = params.n_threads_batch = threads
    params.kv_unified = True
    # Full windows; otherwise sliding-window models could neither fork nor trim.
    params.swa_full = True
    params.no_perf = True
    return params


class Model:
    """A loaded model. Its contexts have KV caches of that type."""

    def __init__(self, path: str, kv_cache_type: str = "auto") -> None:
        self._has_q8_cache = kv_cache_type == "q8_0"
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

    def costs(self) -> Costs:
        """Asked of a small context: no formula knows every architecture."""
        context = self.open_context(CELL_STEP, usable_cores(), sequences=2)
        try:
            tokens = llama_cpp.llama_batch_init(3, 0, 1)
            tokens.n_tokens = 3
            for index, (sequence, position) in enumerate(((0, 0), (1, 0), (1, 1))):
                tokens.token[index], tokens.pos[index], tokens.logits[index] = 0, position, 0
                tokens.n_seq_id[index], tokens.seq_id[index][0] = 1, sequence
            status = llama_cpp.llama_decode(context, tokens)
            llama_cpp.llama_batch_free(tokens)
            if status:
                raise ModelLoadFailed(N_("llama.cpp can't run the model: {reason}", reason=LOG.last_errors))
            one, two = (llama_cpp.llama_state_seq_get_size(context, sequence) for sequence in (0, 1))
            cell_bytes = (two - one) // _CELL_UNIT * _CELL_UNIT
            if not self.is_recurrent:
                return Costs(cell_bytes, 0)
            only_state = llama_cpp.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
            return Costs(cell_bytes, llama_cpp.llama_state_seq_get_size_ext(context, 0, only_state))
        finally:
            llama_cpp.llama_free(context)

    def eos_tokens(self) -> tuple[int, ...]:
        is_end, vocab = llama_cpp.llama_vocab_is_eog, self._vocab
        return tuple(token for token in range(self.vocab_size) if is_end(vocab, token))

    def open_context(self, kv_tokens: int, threads: int, sequences: int) -> Any:
        params = context_params(kv_tokens, threads, sequences)
        params.n_batch = BATCH_TOKENS
        params.n_ubatch = MICRO_BATCH_TOKENS
        if self._has_q8_cache:
            params.type_k = params.type_v = llama_cpp.GGML_TYPE_Q8_0
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


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def arithmetic_of_library() -> str:
    """Identifies the library's version and the processor features that it uses."""
    features = hashlib.sha256(llama_cpp.llama_print_system_info()).hexdigest()[:16]
    return f"llamacpp-{llama_cpp.__version__}-{features}"

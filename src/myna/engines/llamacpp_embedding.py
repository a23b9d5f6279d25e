"""llama.cpp as an engine for embedding models, which it pools itself, dense layers after the pooling
included."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from myna.core.errors import ConfigurationError, ModelLoadFailed
from myna.core.generator import EmbeddingInfo, ModelInfo, Pooling
from myna.core.translatable import N_
from myna.engines.base import BatchRow
from myna.engines.llamacpp_batch import Batch, ForeignArray, split
from myna.engines.llamacpp_library import (
    LOG,
    MICRO_BATCH_TOKENS,
    Model,
    arithmetic_of_library,
    context_params,
    llama_cpp,
    usable_cores,
)

# OpenAI's models take as much. llama.cpp reserves memory for the longest text.
DEFAULT_CONTEXT_TOKENS: Final = 8192
MIN_BATCH_TOKENS: Final = 512
MAX_SEQUENCES: Final = 64
_POOLINGS: Final[dict[str, Pooling]] = {"1": "mean", "2": "cls", "3": "last"}
_NUMBERS: Final[dict[Pooling, int]] = {
    "mean": llama_cpp.LLAMA_POOLING_TYPE_MEAN,
    "cls": llama_cpp.LLAMA_POOLING_TYPE_CLS,
    "last": llama_cpp.LLAMA_POOLING_TYPE_LAST,
}


class LlamaCppEmbeddingEngine:
    """See `engines.base.EmbeddingEngine`. Not batch-invariant: the summation order of its kernels depends on
    the batch."""

    is_batch_invariant = False

    def __init__(self, model: Model, info: ModelInfo, *, threads: int) -> None:
        assert info.embedding is not None
        self.info = info
        self._width = info.embedding.width
        self._model = model
        self._max_tokens = _tokens_at_once(model, info)
        self._context = _open_context(model, info, self._max_tokens, threads)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = Batch(self._max_tokens)

    def embed(self, texts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        rows = [BatchRow(index, text, 0, 0) for index, text in enumerate(texts)]
        vectors = np.empty((len(texts), self._width), np.float32)
        try:
            for part in split(rows, self._max_tokens):
                self._decode(part)
                for row in part:  # of a text in several parts, the last counts
                    vectors[row.sequence] = self._vector(row.sequence)
        finally:
            if self._memory:
                llama_cpp.llama_memory_clear(self._memory, False)
        with np.errstate(divide="ignore", invalid="ignore"):  # the scheduler refuses what isn't finite
            unit: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return self._model.tokenize(text, parse_special=parse_special)

    def close(self) -> None:
        if self._context is not None:
            llama_cpp.llama_free(self._context)
            self._context = None
        self._model.close()

    def _decode(self, rows: Sequence[BatchRow]) -> None:
        self._batch.fill(rows)
        status = llama_cpp.llama_decode(self._context, self._batch.struct)
        if status:
            raise RuntimeError(f"llama.cpp failed to embed a batch (status {status}): {LOG.last_errors}")

    def _vector(self, sequence: int) -> npt.NDArray[np.float32]:
        pointer = llama_cpp.llama_get_embeddings_seq(self._context, sequence)
        address = ctypes.cast(pointer, ctypes.c_void_p).value
        if not address:
            raise RuntimeError("llama.cpp computed no vector for a text")
        return np.array(ForeignArray(address, (self._width,)))


def _open_context(model: Model, info: ModelInfo, max_tokens: int, threads: int) -> Any:
    assert info.embedding is not None
    params = context_params(info.kv_tokens, threads, info.max_sequences)
    params.n_batch = params.n_ubatch = max_tokens
    params.embeddings = True
    params.pooling_type = _NUMBERS[info.embedding.pooling]
    context = llama_cpp.llama_init_from_model(model.handle, params)
    if not context:
        raise ModelLoadFailed(
            N_(
                "llama.cpp can't allocate memory for texts of {num_tokens} tokens: {reason}",
                num_tokens=info.kv_tokens,
                reason=LOG.last_errors,
            )
        )
    return context


def _tokens_at_once(model: Model, info: ModelInfo) -> int:
    """How many tokens llama.cpp may compute together. It needs a text as a whole, unless that is causal and
    only its last token counts. Such models have large vocabularies, and llama.cpp computes the logits of all
    tokens, too: gigabytes, if there were no limit."""
    assert info.embedding is not None
    is_causal = model.text(f"{info.architecture}.attention.causal") != "false"
    is_divisible = is_causal and info.embedding.pooling == "last"
    return min(MICRO_BATCH_TOKENS, info.kv_tokens) if is_divisible else info.kv_tokens


def load(
    path: str, *, context_tokens: int, memory_bytes: int, threads: int, max_kv_bytes: int = 0
) -> LlamaCppEmbeddingEngine:
    """See `registry.load_embedding_engine`."""
    if not Path(path).is_file():
        raise ModelLoadFailed(N_("The model file {path} does not exist.", path=path))
    model = Model(path)
    try:
        limit = model.trained_tokens
        if context_tokens > limit:
            raise ConfigurationError(
                N_(
                    "A context of {context_tokens} tokens exceeds what this model and memory allow "
                    "({limit}).",
                    context_tokens=context_tokens,
                    limit=limit,
                )
            )
        architecture = model.text("general.architecture")
        context = min(context_tokens or DEFAULT_CONTEXT_TOKENS, limit)
        info = ModelInfo(
            engine="llamacpp",
            architecture=architecture,
            vocab_size=model.vocab_size,
            context_tokens=context,
            kv_tokens=max(context, MIN_BATCH_TOKENS),
            max_sequences=MAX_SEQUENCES,
            arithmetic=arithmetic_of_library(),
            embedding=EmbeddingInfo(
                llama_cpp.llama_model_n_embd_out(model.handle),
                _POOLINGS.get(model.text(f"{architecture}.pooling_type"), "mean"),
            ),
        )
        return LlamaCppEmbeddingEngine(model, info, threads=threads or usable_cores())
    except BaseException:
        model.close()
        raise

"""Myna's own CPU engine for embedding models: whole texts at once, without a KV cache."""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Final

import numpy as np
import numpy.typing as npt

from myna import _native
from myna.core.errors import GenerationFailed
from myna.core.generator import EmbeddingInfo, ModelInfo
from myna.core.translatable import N_
from myna.engines.native import StepWork, arithmetic, load_errors

# Of a model that reads longer texts, unless the setting says otherwise. OpenAI's models take as much.
DEFAULT_CONTEXT_TOKENS: Final = 8192
MIN_BATCH_TOKENS: Final = 2048
MAX_SEQUENCES: Final = 256


class NativeEmbeddingEngine:
    """See `engines.base.EmbeddingEngine`."""

    is_batch_invariant = True

    def __init__(self, embedder: _native.Embedder) -> None:
        self._embedder = embedder
        self.info: Final = ModelInfo(
            engine="native",
            architecture=embedder.architecture,
            vocab_size=embedder.vocab_size,
            context_tokens=embedder.context_tokens,
            kv_tokens=max(embedder.context_tokens, MIN_BATCH_TOKENS),
            max_sequences=MAX_SEQUENCES,
            arithmetic=arithmetic(),
            embedding=EmbeddingInfo(embedder.width, embedder.pooling),
            is_batch_invariant=True,
        )

    @property
    def work(self) -> StepWork:
        """The total work so far."""
        return StepWork(*self._embedder.work)

    def embed(self, texts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        offsets = [0, *accumulate(map(len, texts))]
        try:
            return self._embedder.embed(list(chain.from_iterable(texts)), offsets)
        except ValueError as exc:
            raise GenerationFailed(N_("The engine rejected the batch: {reason}.", reason=exc)) from exc

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        raise NotImplementedError("the native engine has no tokenizer")

    def close(self) -> None:
        self._embedder.close()


def load(
    path: str, *, context_tokens: int, memory_bytes: int, threads: int, max_kv_bytes: int = 0
) -> NativeEmbeddingEngine:
    """See `registry.load_embedding_engine`. There is no KV cache, so nothing else to size."""
    del memory_bytes, max_kv_bytes
    with load_errors(path):
        embedder = _native.Embedder(
            path, context_tokens=context_tokens or DEFAULT_CONTEXT_TOKENS, threads=threads
        )
    return NativeEmbeddingEngine(embedder)

"""The fake engine's embedding model: a text's vector is the sum of a random one per token, so that texts with
many tokens in common are near each other. Product code, like `fake`, whose directives it obeys."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import Final

import numpy as np
import numpy.typing as npt

from myna.core.generator import EmbeddingInfo, ModelInfo
from myna.engines import fake

WIDTH: Final = 256
CONTEXT_TOKENS: Final = 8192
_BATCH_TOKENS: Final = 32_768


def embeds(path: str) -> bool:
    """Whether the fake model of that name is an embedding model."""
    return "embed" in PurePath(path).name


def vector(tokens: Sequence[int]) -> npt.NDArray[np.float32]:
    """The vector of a text."""
    total: npt.NDArray[np.float64] = np.sum([_token_vector(token) for token in tokens], axis=0)
    unit: npt.NDArray[np.float64] = total / np.linalg.norm(total)
    return unit.astype(np.float32)


@lru_cache(maxsize=len(fake.VOCABULARY))
def _token_vector(token: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(token).standard_normal(WIDTH)


class FakeEmbeddingEngine:
    """See `engines.base.EmbeddingEngine`, whose rules it asserts."""

    is_batch_invariant = True

    def __init__(self, context_tokens: int) -> None:
        self.info = ModelInfo(
            engine="fake",
            architecture="fake",
            vocab_size=len(fake.VOCABULARY),
            context_tokens=context_tokens,
            kv_tokens=max(_BATCH_TOKENS, context_tokens),
            max_sequences=256,
            arithmetic="fake-embedding-1",
            embedding=EmbeddingInfo(WIDTH, "mean"),
            is_batch_invariant=True,
        )

    def embed(self, texts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        info = self.info
        assert 0 < len(texts) <= info.max_sequences
        assert all(0 < len(text) <= info.context_tokens for text in texts)
        assert sum(map(len, texts)) <= info.kv_tokens
        for text in texts:
            fake.run_directives(text)
        return np.stack([vector(text) for text in texts])

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return fake.tokenize(text, parse_special=parse_special)

    def close(self) -> None: ...


def load(
    path: str, *, context_tokens: int, memory_bytes: int, threads: int, max_kv_bytes: int = 0
) -> FakeEmbeddingEngine:
    """`path` may be any name; the names that fail to load are those of `fake.load`."""
    del memory_bytes, threads, max_kv_bytes
    fake.check_name(path)
    return FakeEmbeddingEngine(context_tokens or CONTEXT_TOKENS)

"""What `engines.base.EmbeddingEngine` promises, asked of every engine that runs embedding models."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.engines.tiny_embedders import write_bert, write_qwen3_embedding

from myna.engines.base import EmbeddingEngine
from myna.engines.registry import ENGINES, is_installed, load_embedding_engine

Vectors = npt.NDArray[np.float32]
MODELS: dict[str, Callable[[Path], Path]] = {
    "bert-mean": lambda path: write_bert(path, pooling=1),
    "bert-cls": lambda path: write_bert(path, pooling=2),
    "qwen3-last": write_qwen3_embedding,
}
SUBJECTS = [
    (engine, model)
    for engine, row in ENGINES.items()
    if row.load_embedding and is_installed(engine)
    for model in (["embedding"] if engine == "fake" else MODELS)
]


@pytest.fixture(scope="module", params=SUBJECTS, ids="-".join)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddingEngine]:
    name, model = request.param
    path = tmp_path_factory.mktemp("models") / f"{model}.gguf"
    if name != "fake":
        MODELS[model](path)
    engine = load_embedding_engine(name, str(path), context_tokens=100, memory_bytes=0, threads=1)
    yield engine
    engine.close()


def text(size: int, *, salt: int = 0) -> list[int]:
    return [5 + (7 * i + 13 * salt) % 70 for i in range(size)]


def assert_same(engine: EmbeddingEngine, ours: Vectors, expected: Vectors) -> None:
    if engine.is_batch_invariant:
        assert np.array_equal(ours, expected)
    else:
        assert np.abs(ours - expected).max() < 1e-3


def test_info_says_that_it_embeds(engine: EmbeddingEngine) -> None:
    info = engine.info
    assert info.embedding is not None
    assert info.embedding.width > 0
    assert info.embedding.pooling in ("mean", "cls", "last")
    assert info.context_tokens == 100
    assert info.kv_tokens >= info.context_tokens
    assert info.max_sequences >= 32
    assert info.vocab_size > 75
    assert info.arithmetic


def test_a_vector_per_text_each_of_unit_length(engine: EmbeddingEngine) -> None:
    texts = [text(size, salt=size) for size in (1, 2, 17, 100)]
    vectors = engine.embed(texts)
    assert engine.info.embedding is not None
    assert vectors.shape == (4, engine.info.embedding.width)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() < 1e-6
    assert len({vector.tobytes() for vector in vectors}) == 4


def test_neighbours_in_the_batch_do_not_change_a_vector(engine: EmbeddingEngine) -> None:
    texts = [text(size, salt=size) for size in (3, 40, 1, 22, 9, 64)]
    alone = [engine.embed([tokens])[0] for tokens in texts]
    for ours, expected in zip(engine.embed(texts), alone, strict=True):
        assert_same(engine, ours, expected)
    for ours, expected in zip(engine.embed(texts[::-1])[::-1], alone, strict=True):
        assert_same(engine, ours, expected)


def test_equal_texts_have_equal_vectors_in_every_call(engine: EmbeddingEngine) -> None:
    first = engine.embed([text(30), text(30)])
    assert_same(engine, first[0], first[1])
    engine.embed([text(50, salt=3)])
    assert_same(engine, engine.embed([text(30)])[0], first[0])


def test_a_step_may_be_full(engine: EmbeddingEngine) -> None:
    info = engine.info
    assert info.embedding is not None
    size = min(info.context_tokens, max(1, info.kv_tokens // info.max_sequences))
    num_texts = min(info.max_sequences, info.kv_tokens // size)
    assert engine.embed([text(size)] * num_texts).shape == (num_texts, info.embedding.width)


def test_the_result_belongs_to_the_caller(engine: EmbeddingEngine) -> None:
    first = engine.embed([text(8)])
    copy = first.copy()
    engine.embed([text(9, salt=5)])
    assert np.array_equal(first, copy)

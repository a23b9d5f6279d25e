"""The native engine against llama.cpp and a float32 reference on real models, and its manners."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.engines.divergence import compare, divergences
from tests.engines.float_reference import FloatReference
from tests.engines.oracle import Oracle
from tests.engines.texts import MIXED

from myna.core.errors import GenerationFailed, ModelLoadFailed
from myna.engines.base import BatchRow, KVCacheFull
from myna.engines.native import NativeEngine, load

ModelPath = Callable[[str], Path]
Rows = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def small(model_path: ModelPath) -> Iterator[NativeEngine]:
    path = model_path("smollm2-135m-instruct")
    engine = load(str(path), context_tokens=1024, memory_bytes=64 << 20, threads=2)
    yield engine
    engine.close()


@pytest.mark.parametrize("model", ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "gemma-3-270m"])
def test_logits_are_as_near_to_float32_as_those_of_llama_cpp(model: str, model_path: ModelPath) -> None:
    path = str(model_path(model))
    oracle = Oracle(path)
    tokens = ([2] if model.startswith("gemma") else []) + oracle.tokenize(MIXED)
    theirs = oracle.logits(tokens)
    oracle.close()
    engine = load(path, context_tokens=1024, memory_bytes=64 << 20, threads=2)
    ours = engine.forward([BatchRow(0, tokens, 0, 0)]).array.copy()
    engine.close()
    exact = FloatReference(path).logits(tokens)

    assert len(tokens) > 100
    compared = compare(divergences(exact, ours), divergences(exact, theirs))
    assert compared.low <= 0, compared  # farther from float32 than llama.cpp is by chance alone, if at all
    assert compared.ours <= 1.25 * compared.theirs, compared
    assert (ours.argmax(axis=1) == exact.argmax(axis=1)).mean() >= 0.9
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() >= 0.9


def test_greedy_text_of_the_small_model_is_english(model_path: ModelPath) -> None:
    path = str(model_path("smollm2-135m-instruct"))
    oracle = Oracle(path)
    tokens = oracle.tokenize("The capital of France is")
    expected = oracle.tokenize(" Paris")
    oracle.close()
    engine = load(path, context_tokens=256, memory_bytes=64 << 20, threads=2)
    logits = engine.forward([BatchRow(0, tokens, 0, len(tokens) - 1)]).array
    assert int(logits[0].argmax()) == expected[0]
    engine.close()


def test_a_batch_that_does_not_fit_changes_nothing(small: NativeEngine) -> None:
    small.forward([BatchRow(0, [5, 6, 7], 0, 3)])
    before = small.forward([BatchRow(0, [8], 3, 0)]).array.copy()
    small.trim(0, 3)
    free = small.free_tokens
    room = BatchRow(1, [9] * 1000, 0, 1000)
    with pytest.raises(KVCacheFull):
        small.forward(
            [BatchRow(0, [8], 3, 0), room, *(BatchRow(i, [9] * 1000, 0, 1000) for i in range(2, 12))]
        )
    assert small.free_tokens == free
    assert (small.forward([BatchRow(0, [8], 3, 0)]).array == before).all()
    small.free(0)


@pytest.mark.parametrize(
    "batch",
    [
        [BatchRow(0, [5], 1, 1)],  # starts behind a gap
        [BatchRow(0, [-1], 0, 1)],
        [BatchRow(0, [10**6], 0, 1)],
        [BatchRow(0, [], 0, 0)],
        [BatchRow(0, [5], 0, 2)],
        [BatchRow(0, [5], 0, -1)],
        [BatchRow(-1, [5], 0, 1)],
        [BatchRow(10**6, [5], 0, 1)],
        [BatchRow(0, [5], 0, 1), BatchRow(0, [5], 1, 1)],
        [BatchRow(0, [5] * 1025, 0, 1025)],  # longer than the context
    ],
)
def test_an_impossible_batch_is_refused_and_changes_nothing(
    small: NativeEngine, batch: list[BatchRow]
) -> None:
    free = small.free_tokens
    with pytest.raises(GenerationFailed):
        small.forward(batch)
    assert small.free_tokens == free


def test_shared_tokens_are_counted_once(small: NativeEngine) -> None:
    free = small.free_tokens
    small.forward([BatchRow(0, [7] * 40, 0, 40)])
    assert small.free_tokens == free - 48
    small.fork(0, 1, 40)
    assert small.free_tokens == free - 48
    small.forward([BatchRow(1, [8], 40, 1)])  # the shared, half-filled block is copied
    assert small.free_tokens == free - 64
    small.free(0)
    assert small.free_tokens == free - 48
    small.free(1)
    assert small.free_tokens == free


def test_a_missing_or_foreign_file_says_what_is_wrong(tmp_path: Path) -> None:
    for name, content in (("absent", None), ("empty", b""), ("text", b"Once upon a time")):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ModelLoadFailed, match=name):
            load(str(path), context_tokens=0, memory_bytes=0, threads=1)
    with pytest.raises(ModelLoadFailed, match="not a regular file"):
        load(str(tmp_path), context_tokens=0, memory_bytes=0, threads=1)


def test_the_closed_engine_refuses_work(model_path: ModelPath) -> None:
    path = model_path("smollm2-135m-instruct")
    engine = load(str(path), context_tokens=64, memory_bytes=64 << 20, threads=1)
    kept = engine.forward([BatchRow(0, [1, 2], 0, 0)]).array
    engine.close()
    with pytest.raises(GenerationFailed, match="closed"):
        engine.forward([BatchRow(0, [1], 2, 0)])
    assert np.isfinite(kept).all()


def test_saved_blocks_are_restored_bit_by_bit(small: NativeEngine) -> None:
    blocks, tokens = small.blocks, list(range(300, 300 + 80))
    assert blocks is not None
    expected = small.forward([BatchRow(20, tokens, 0, 79)]).array.copy()
    data = np.zeros(4 * blocks.block_bytes, np.uint8)
    blocks.read_blocks(20, 0, data[: 3 * blocks.block_bytes])
    blocks.read_blocks(20, 3, data[3 * blocks.block_bytes :])
    small.free(20)
    small.forward([BatchRow(22, tokens[:5], 0, 4)])  # takes the freed blocks
    blocks.append_blocks(21, data[: blocks.block_bytes])
    blocks.append_blocks(21, data[blocks.block_bytes :])
    restored = small.forward([BatchRow(21, tokens[64:], 64, 15)]).array
    assert np.array_equal(restored, expected)
    small.free(21)
    small.free(22)


def test_blocks_that_are_not_whole_or_not_there_are_refused(small: NativeEngine) -> None:
    blocks = small.blocks
    assert blocks is not None
    small.forward([BatchRow(20, list(range(300, 340)), 0, 40)])
    block, free_tokens = np.zeros(blocks.block_bytes, np.uint8), small.free_tokens
    for sequence, first, target in ((20, 2, block), (20, -1, block), (20, 0, block[:-2]), (19, 0, block)):
        with pytest.raises(ValueError):
            blocks.read_blocks(sequence, first, target)
    with pytest.raises(ValueError, match="whole"):
        blocks.append_blocks(20, block)  # it has two blocks and a half
    with pytest.raises(KVCacheFull):
        blocks.append_blocks(21, np.zeros((small.free_tokens // 16 + 1) * blocks.block_bytes, np.uint8))
    assert small.free_tokens == free_tokens
    small.free(20)

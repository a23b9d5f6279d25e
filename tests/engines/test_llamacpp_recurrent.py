"""Models with recurrent layers on llama.cpp's engine: as many states as the memory holds, prefixes shared up
to snapshots, and no history changes an answer."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.test_native_recurrent import TABLE, TOKENS, cached, request, size_of
from tests.engines.tiny_models import Tiny, write_tiny
from tests.scheduling.model import Driver

from myna.catalog.memory_planner import MIN_STATES
from myna.core.errors import ModelLoadFailed
from myna.engines import llamacpp
from myna.engines.base import BatchRow
from myna.engines.llamacpp import LlamaCppEngine

GRID = 32
LENGTH = len(TOKENS)
Rows = npt.NDArray[np.float32]


def open_tiny(path: Path, *, states: int, context_tokens: int = 512) -> LlamaCppEngine:
    """With memory for so many states and one context, but at least as much for the one as for the other."""
    size = size_of(path)
    memory_bytes = max(size.cache_bytes(context_tokens, states), 2 * states * size.state_bytes)
    memory_bytes += states * 2048  # llama.cpp says that a state is a little larger
    return llamacpp.load(str(path), context_tokens=context_tokens, memory_bytes=memory_bytes, threads=2)


@pytest.fixture(scope="module", params=["qwen35", "lfm2", "granitehybrid"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("recurrent") / "tiny.gguf", Tiny(request.param))


@pytest.fixture(scope="module")
def engine(path: Path) -> Iterator[LlamaCppEngine]:
    """With few states, on a grid so fine that snapshots are evicted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llamacpp, "SNAPSHOT_TOKENS", GRID)
        engine = open_tiny(path, states=MIN_STATES, context_tokens=1280)
        assert engine.info.max_sequences >= MIN_STATES // 2
        yield engine
        engine.close()


@pytest.fixture(scope="module")
def expected(engine: LlamaCppEngine) -> Rows:
    """The logits of every position, computed at once."""
    rows = engine.forward([BatchRow(0, TOKENS, 0, 0)]).array.copy()
    engine.free(0)
    return rows


@pytest.fixture(autouse=True)
def empty(engine: LlamaCppEngine) -> None:
    for sequence in range(engine.info.max_sequences):
        engine.free(sequence)


def assert_same(ours: Rows, expected: Rows) -> None:
    """Rounding depends on the batch: up to 0.1 % of these logits. A wrong state changes all of them."""
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 0.02 * np.abs(expected).max()


def test_a_prefix_is_shared_up_to_the_grid(engine: LlamaCppEngine, expected: Rows) -> None:
    engine.forward([BatchRow(0, TOKENS[:100], 0, 100)])
    assert [engine.reusable(0, count) for count in (100, 99, 96, 95)] == [100, 96, 96, 64]
    for sequence, shared in ((1, 100), (2, 64)):
        engine.fork(0, sequence, shared)
        rows = engine.forward([BatchRow(sequence, TOKENS[shared : shared + 20], shared, 0)]).array
        assert_same(rows, expected[shared : shared + 20])
    engine.trim(0, 64)
    assert_same(engine.forward([BatchRow(0, TOKENS[64:], 64, 0)]).array, expected[64:])


def test_between_two_states_nothing_can_be_shared(engine: LlamaCppEngine, expected: Rows) -> None:
    engine.forward([BatchRow(0, TOKENS[:100], 0, 100)])
    with pytest.raises(ValueError, match="after 90 tokens"):
        engine.fork(0, 1, 90)
    with pytest.raises(ValueError, match="after 90 tokens"):
        engine.trim(0, 90)
    assert_same(engine.forward([BatchRow(0, TOKENS[100:], 100, 0)]).array, expected[100:])


def test_what_nobody_needs_takes_no_room(engine: LlamaCppEngine) -> None:
    engine.forward([BatchRow(0, TOKENS[:100], 0, 100)])
    engine.fork(0, 1, 64)
    engine.free(0)
    assert engine.free_tokens == engine.info.kv_tokens - 64
    engine.free(1)
    assert engine.free_tokens == engine.info.kv_tokens


@settings(max_examples=8)
@given(data=st.data())
def test_no_history_changes_an_answer(engine: LlamaCppEngine, expected: Rows, data: st.DataObject) -> None:
    count = min(4, engine.info.max_sequences)
    for sequence in range(count):
        engine.free(sequence)
    lengths = [0] * count
    for _ in range(data.draw(st.integers(5, 20))):
        sequence, other = data.draw(st.permutations(range(count)))[:2]
        start = lengths[sequence]
        kept = engine.reusable(sequence, data.draw(st.integers(0, start)))
        what = data.draw(st.sampled_from(["extend", "extend", "trim", "fork"]))
        if what == "trim":
            engine.trim(sequence, kept)
            lengths[sequence] = kept
        elif what == "fork" and kept:
            engine.free(other)
            engine.fork(sequence, other, kept)
            lengths[other] = kept
        elif start < LENGTH:
            end = min(LENGTH, start + data.draw(st.integers(1, 90)))
            rows = engine.forward([BatchRow(sequence, TOKENS[start:end], start, end - start - 1)])
            assert_same(rows.array, expected[end - 1 : end])
            lengths[sequence] = end
    assert sum(lengths) >= engine.info.kv_tokens - engine.free_tokens


def test_sequences_of_one_batch_end_at_the_grid_on_their_own(engine: LlamaCppEngine, expected: Rows) -> None:
    engine.forward([BatchRow(0, TOKENS[:20], 0, 20)])
    batch = [BatchRow(0, TOKENS[20:70], 20, 0), BatchRow(1, TOKENS[:33], 0, 0)]
    assert_same(engine.forward(batch).array, np.concatenate([expected[20:70], expected[:33]]))
    assert (engine.reusable(0, 69), engine.reusable(1, 32)) == (64, 32)


def test_the_memory_decides_how_many_sequences_there_are(path: Path) -> None:
    size = size_of(path)
    counts = []
    for states in (4, 40, 400):
        memory_bytes = size.cache_bytes(512, states)
        engine = llamacpp.load(str(path), context_tokens=256, memory_bytes=memory_bytes, threads=1)
        info = engine.info
        assert size.cache_bytes(info.kv_tokens, 2 * info.max_sequences) <= memory_bytes
        counts.append(info.max_sequences)
        engine.close()
    assert counts[0] < counts[1] < counts[2] <= 128
    with pytest.raises(ModelLoadFailed, match=r"two states|minimum"):
        llamacpp.load(str(path), context_tokens=16, memory_bytes=3 * size.state_bytes, threads=1)


def test_a_second_turn_reuses_the_first(engine: LlamaCppEngine) -> None:
    driver = Driver(engine, TABLE)
    text = bytes(TOKENS[:100])
    assert cached(driver.ask(request(text))) == 0
    assert cached(driver.ask(request(text + b"and now?"))) == 96

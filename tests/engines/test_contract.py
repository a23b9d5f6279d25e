"""What `engines.base.Engine` promises, asked of every engine in the registry."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from myna.engines.base import BatchRow, Engine, KVCacheFull
from myna.engines.registry import ENGINES, load_engine

KV_TOKENS = 512
MODEL = "smollm2-135m-instruct"
KV_BYTES_OF_A_TOKEN = 30 * 3 * 64 * 2 * 2
Rows = npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=sorted(ENGINES))
def loaded(request: pytest.FixtureRequest, model_path: Callable[[str], Path]) -> Iterator[Engine]:
    name: str = request.param
    path = "small.gguf" if name == "fake" else str(model_path(MODEL))
    memory_bytes = KV_TOKENS * (1024 if name == "fake" else KV_BYTES_OF_A_TOKEN)
    engine = load_engine(name, path, context_tokens=256, memory_bytes=memory_bytes, threads=1)
    yield engine
    engine.close()


@pytest.fixture
def engine(loaded: Engine) -> Engine:
    """The same engine, empty."""
    for sequence in range(loaded.info.max_sequences):
        loaded.free(sequence)
    return loaded


def prompt(size: int, *, salt: int = 0) -> list[int]:
    return [32 + (7 * i + 13 * salt) % 90 for i in range(size)]


def run(engine: Engine, sequence: int, tokens: list[int], start: int = 0) -> Rows:
    """Logits after the last of the tokens."""
    rows: Rows = engine.forward([BatchRow(sequence, tokens, start, len(tokens) - 1)]).array
    return np.array(rows[0])


def assert_same(engine: Engine, ours: Rows, expected: Rows) -> None:
    if engine.is_batch_invariant:
        assert np.array_equal(ours, expected)
    else:
        assert np.abs(ours - expected).max() < 0.05 * np.abs(expected).max()


def test_info_is_whole(engine: Engine) -> None:
    info = engine.info
    assert info.vocab_size > 256
    assert 0 < info.context_tokens <= info.kv_tokens
    assert info.max_sequences >= 32
    assert info.arithmetic
    assert info.eos_tokens
    assert all(0 <= token < info.vocab_size for token in info.eos_tokens)
    assert 0 <= engine.prefix_cache_tokens <= info.kv_tokens


def test_an_empty_engine_has_all_its_room(engine: Engine) -> None:
    assert engine.free_tokens == engine.info.kv_tokens


def test_only_the_wanted_rows_come_back_in_batch_order(engine: Engine) -> None:
    a, b, c = prompt(5), prompt(6, salt=1), prompt(4, salt=2)
    array = engine.forward([BatchRow(0, a, 0, 3), BatchRow(1, b, 0, 6), BatchRow(2, c, 0, 3)]).array
    assert array.shape == (3, engine.info.vocab_size)
    assert array.dtype == np.float32
    rows = array.copy()
    for sequence in range(3):
        engine.free(sequence)
    assert_same(engine, rows[1], run(engine, 0, a))
    assert_same(engine, rows[2], run(engine, 2, c))


def test_no_wanted_rows_is_an_empty_array(engine: Engine) -> None:
    assert engine.forward([BatchRow(0, prompt(4), 0, 4)]).array.shape == (0, engine.info.vocab_size)


def test_a_prompt_in_chunks_is_the_same_prompt(engine: Engine) -> None:
    tokens = prompt(60)
    expected = run(engine, 0, tokens)
    engine.forward([BatchRow(1, tokens[:23], 0, 23)])
    engine.forward([BatchRow(1, tokens[23:24], 23, 1)])
    assert_same(engine, run(engine, 1, tokens[24:], 24), expected)


def test_sequences_of_one_batch_do_not_touch(engine: Engine) -> None:
    prompts = [prompt(20, salt=salt) for salt in range(8)]
    alone = [run(engine, 100 + i, tokens) for i, tokens in enumerate(prompts)]
    together = engine.forward([BatchRow(i, tokens, 0, 19) for i, tokens in enumerate(prompts)]).array
    for ours, expected in zip(together, alone, strict=True):
        assert_same(engine, ours, expected)


def test_a_fork_shares_its_prefix_and_goes_its_own_way(engine: Engine) -> None:
    tokens, other = prompt(48), prompt(16, salt=5)
    expected_own, expected_other = run(engine, 10, tokens), run(engine, 11, tokens[:32] + other)
    for sequence in (10, 11):
        engine.free(sequence)
    engine.forward([BatchRow(0, tokens[:32], 0, 32)])
    engine.fork(0, 1, 32)
    assert_same(engine, run(engine, 1, other, 32), expected_other)
    assert_same(engine, run(engine, 0, tokens[32:], 32), expected_own)


def test_shared_tokens_take_room_once(engine: Engine) -> None:
    room = engine.free_tokens
    engine.forward([BatchRow(0, prompt(64), 0, 64)])
    engine.fork(0, 1, 32)
    engine.fork(1, 2, 32)
    assert engine.free_tokens == room - 64
    engine.free(0)
    assert engine.free_tokens == room - 32
    engine.free(2)
    assert engine.free_tokens == room - 32
    engine.free(1)
    assert engine.free_tokens == room


def test_a_fork_outlives_its_source(engine: Engine) -> None:
    tokens = prompt(40)
    expected = run(engine, 9, tokens)
    engine.forward([BatchRow(0, tokens[:32], 0, 32)])
    engine.fork(0, 1, 32)
    engine.free(0)
    engine.forward([BatchRow(0, prompt(40, salt=3), 0, 40)])
    assert_same(engine, run(engine, 1, tokens[32:], 32), expected)


def test_a_trimmed_tail_is_forgotten_and_its_room_free(engine: Engine) -> None:
    assert engine.can_trim
    tokens, room = prompt(48), engine.free_tokens
    expected = run(engine, 0, tokens)
    engine.free(0)
    engine.forward([BatchRow(0, tokens[:32] + prompt(16, salt=4), 0, 48)])
    engine.trim(0, 32)
    assert engine.free_tokens == room - 32
    assert_same(engine, run(engine, 0, tokens[32:], 32), expected)


def test_trimming_a_fork_leaves_its_source_whole(engine: Engine) -> None:
    tokens = prompt(40)
    expected = run(engine, 9, tokens)
    engine.forward([BatchRow(0, tokens[:39], 0, 39)])
    engine.fork(0, 1, 39)
    engine.trim(1, 16)
    assert_same(engine, run(engine, 0, tokens[39:], 39), expected)


def test_freeing_is_idempotent_and_ignores_strangers(engine: Engine) -> None:
    room = engine.free_tokens
    engine.forward([BatchRow(3, prompt(16), 0, 16)])
    engine.free(3)
    engine.free(3)
    engine.free(77)
    assert engine.free_tokens == room


def test_out_of_room_changes_nothing(engine: Engine) -> None:
    tokens = prompt(32)
    expected = run(engine, 9, tokens)
    engine.free(9)
    engine.forward([BatchRow(0, tokens[:31], 0, 31)])
    room = engine.free_tokens
    too_many = [
        BatchRow(1, prompt(200), 0, 200),
        BatchRow(2, prompt(200), 0, 200),
        BatchRow(3, prompt(200), 0, 200),
    ]
    with pytest.raises(KVCacheFull):
        engine.forward([BatchRow(0, tokens[31:], 31, 0), *too_many])
    assert engine.free_tokens == room
    assert_same(engine, run(engine, 0, tokens[31:], 31), expected)


def test_the_room_can_be_filled_to_the_last_token(engine: Engine) -> None:
    size = 128
    for sequence in range(engine.info.kv_tokens // size):
        engine.forward([BatchRow(sequence, prompt(size, salt=sequence), 0, size)])
    assert engine.free_tokens == engine.info.kv_tokens % size
    with pytest.raises(KVCacheFull):
        engine.forward([BatchRow(200, prompt(size), 0, size)])
    engine.free(1)
    assert engine.forward([BatchRow(200, prompt(size), 0, size - 1)]).array.shape[0] == 1

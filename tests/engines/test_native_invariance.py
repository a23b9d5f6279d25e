"""The same sequence has the same bits of logits in any batch, chunking, thread count and reuse."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.few_layers import write_layers

from myna.core.backend import KV_CACHE_TYPES
from myna.engines.base import BatchRow
from myna.engines.native import NativeEngine, load

Rows = npt.NDArray[np.float32]
VOCABULARY = 49152
NUM_LAYERS = 4  # of 30: the others would do the same once more
LENGTH = 700  # more than two parts of attention and more than one slice of a batch

quick = settings(max_examples=6)
cuts = st.lists(st.integers(1, LENGTH - 1), max_size=6, unique=True).map(sorted)


def random_tokens(seed: int, count: int) -> list[int]:
    return [int(t) for t in np.random.default_rng(seed).integers(0, VOCABULARY, count)]


TOKENS = random_tokens(1, LENGTH)


def open_small(path: Path, threads: int, kv_cache_type: str) -> NativeEngine:
    return load(
        str(path),
        context_tokens=1024,
        memory_bytes=512 << 20,
        threads=threads,
        kv_cache_type=kv_cache_type,
    )


@pytest.fixture(scope="module")
def small(model_path: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("model") / "small.gguf"
    return write_layers(model_path("smollm2-135m-instruct"), target, NUM_LAYERS)


@pytest.fixture(scope="module", params=KV_CACHE_TYPES)
def kv_cache_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[1, 2], ids=["one thread", "two threads"])
def engine(request: pytest.FixtureRequest, small: Path, kv_cache_type: str) -> Iterator[NativeEngine]:
    engine = open_small(small, request.param, kv_cache_type)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def expected(small: Path, kv_cache_type: str) -> Rows:
    """Logits of every position, computed alone with one thread, in pieces of 100."""
    engine = open_small(small, 1, kv_cache_type)
    pieces = [
        engine.forward([BatchRow(0, TOKENS[start : start + 100], start, 0)]).array.copy()
        for start in range(0, LENGTH, 100)
    ]
    engine.close()
    return np.concatenate(pieces)


def clear(engine: NativeEngine) -> None:
    for sequence in range(40):
        engine.free(sequence)


@quick
@given(cuts=cuts)
def test_chunking_changes_no_bit(engine: NativeEngine, expected: Rows, cuts: list[int]) -> None:
    clear(engine)
    bounds = [0, *cuts, LENGTH]
    for start, end in pairwise(bounds):
        rows = engine.forward([BatchRow(0, TOKENS[start:end], start, 0)]).array
        assert rows.tobytes() == expected[start:end].tobytes()


@quick
@given(
    length=st.integers(1, LENGTH - 1),
    others=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), max_size=12),
    place=st.integers(0, 12),
)
def test_company_changes_no_bit(
    engine: NativeEngine, expected: Rows, length: int, others: list[tuple[int, int]], place: int
) -> None:
    clear(engine)
    engine.forward([BatchRow(0, TOKENS[:length], 0, length)])
    batch = []
    for i, (before, count) in enumerate(others, start=1):
        tokens = random_tokens(i, before + count)
        if before:
            engine.forward([BatchRow(i, tokens[:before], 0, before)])
        batch.append(BatchRow(i, tokens[before:], before, count))
    batch.insert(min(place, len(batch)), BatchRow(0, TOKENS[length : length + 1], length, 0))
    assert engine.forward(batch).array.tobytes() == expected[length].tobytes()


@quick
@given(shared=st.integers(1, LENGTH - 2), tail=st.integers(0, 60), trimmed=st.integers(0, LENGTH - 1))
def test_forks_and_trims_change_no_bit(
    engine: NativeEngine, expected: Rows, shared: int, tail: int, trimmed: int
) -> None:
    clear(engine)
    donor = [*TOKENS[:shared], *random_tokens(2, tail)]
    engine.forward([BatchRow(0, donor, 0, len(donor))])
    engine.fork(0, 1, shared)
    engine.forward([BatchRow(0, [3, 4], len(donor), 2)])  # both write into what was one block
    rows = engine.forward([BatchRow(1, TOKENS[shared:], shared, 0)]).array
    assert rows.tobytes() == expected[shared:].tobytes()
    engine.free(0)
    engine.trim(1, trimmed)
    rows = engine.forward([BatchRow(1, TOKENS[trimmed:], trimmed, 0)]).array
    assert rows.tobytes() == expected[trimmed:].tobytes()


def test_a_batch_of_decodes_has_the_bits_of_each_alone(engine: NativeEngine, expected: Rows) -> None:
    clear(engine)
    lengths = [1, 2, 15, 16, 17, 63, 64, 65, 255, 256, 257, 300, 511, 512, 513, 699]
    for i, length in enumerate(lengths):
        engine.forward([BatchRow(i, TOKENS[:length], 0, length)])
    batch = [BatchRow(i, TOKENS[length : length + 1], length, 0) for i, length in enumerate(lengths)]
    assert engine.forward(batch).array.tobytes() == expected[lengths].tobytes()


# --- sequences that share a prefix, whose parts of 256 positions are read once for all of them ---

DONORS = 36, 37, 38
users = st.lists(
    st.tuples(st.sampled_from(DONORS), st.integers(200, LENGTH - 6), st.integers(1, 6)),
    min_size=2,
    max_size=32,
)


def open_donors(engine: NativeEngine) -> None:
    """Sequences with the same tokens: the second shares 300 of them with the first, the third none."""
    clear(engine)
    engine.forward([BatchRow(DONORS[0], TOKENS, 0, LENGTH)])
    engine.fork(DONORS[0], DONORS[1], 300)
    engine.forward([BatchRow(DONORS[1], TOKENS[300:], 300, LENGTH - 300)])
    engine.forward([BatchRow(DONORS[2], TOKENS, 0, LENGTH)])


@quick
@given(users=users)
def test_users_of_one_prefix_have_the_bits_of_each_alone(
    engine: NativeEngine, expected: Rows, users: list[tuple[int, int, int]]
) -> None:
    open_donors(engine)
    batch, wanted = [], []
    for i, (donor, length, count) in enumerate(users):
        engine.fork(donor, i, length)
        batch.append(BatchRow(i, TOKENS[length : length + count], length, 0))
        wanted.append(expected[length : length + count])
    assert engine.forward(batch).array.tobytes() == np.concatenate(wanted).tobytes()


@pytest.mark.parametrize("num_users", [2, 8, 32])
def test_users_of_one_prefix_read_it_once(
    engine: NativeEngine, expected: Rows, kv_cache_type: str, num_users: int
) -> None:
    clear(engine)
    engine.forward([BatchRow(DONORS[0], TOKENS, 0, LENGTH)])
    lengths = [513 + 5 * i for i in range(num_users)]
    for i, length in enumerate(lengths):
        engine.fork(DONORS[0], i, length)
    before = engine.work.cache_bytes
    batch = [BatchRow(i, TOKENS[length : length + 1], length, 0) for i, length in enumerate(lengths)]
    assert engine.forward(batch).array.tobytes() == expected[lengths].tobytes()
    positions = 512 + sum(length + 1 - 512 for length in lengths)
    heads, dim, kinds = 3, 64, 2
    numbers = positions * NUM_LAYERS * heads * dim * kinds
    assert engine.work.cache_bytes - before == numbers * KV_CACHE_TYPES[kv_cache_type]

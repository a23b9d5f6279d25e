"""Models with recurrent layers: states are shared, undone and evicted, and no answer changes a bit."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.architectures import LAYOUTS
from tests.engines.recurrent_layouts import RecurrentLayout
from tests.engines.tiny_models import VOCABULARY, Tiny, write_tiny
from tests.scheduling.model import Driver, Heard
from tests.scheduling.test_speculation import ALWAYS, NEVER, told

from myna.backends.worker.model_size import model_size
from myna.catalog.memory_planner import MIN_STATES
from myna.core.backend import ModelSize
from myna.core.errors import ModelLoadFailed
from myna.core.events import PromptDone
from myna.core.requests import GenerationRequest, Sampling
from myna.decoding.token_table import TokenTable
from myna.engines.base import BatchRow
from myna.engines.native import NativeEngine, load
from myna.prompts.gguf import read_header

Rows = npt.NDArray[np.float32]
RECURRENT = [name for name, layout in LAYOUTS.items() if isinstance(layout, RecurrentLayout)]
LENGTH = 300
TOKENS = [int(t) for t in np.random.default_rng(3).integers(0, VOCABULARY, LENGTH)]
BYTES = [bytes([n]) for n in range(VOCABULARY)]
TABLE = TokenTable(BYTES, BYTES, frozenset({0}))


def size_of(path: Path) -> ModelSize:
    return model_size(read_header(path), [path], is_packed=True)


def open_tiny(path: Path, *, states: int, context_tokens: int = 512) -> NativeEngine:
    """With memory for so many states and one context."""
    size = size_of(path)
    memory_bytes = max(size.cache_bytes(context_tokens, states), 2 * states * size.state_bytes)
    return load(str(path), context_tokens=context_tokens, memory_bytes=memory_bytes, threads=2)


@pytest.fixture(scope="module", params=RECURRENT)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("recurrent") / "tiny.gguf", Tiny(request.param))


@pytest.fixture(scope="module")
def expected(path: Path) -> Rows:
    """The logits of every position, computed at once."""
    engine = open_tiny(path, states=MIN_STATES)
    rows = engine.forward([BatchRow(0, TOKENS, 0, 0)]).array.copy()
    engine.close()
    return rows


@pytest.fixture(scope="module")
def roomy(path: Path) -> Iterator[NativeEngine]:
    engine = open_tiny(path, states=64, context_tokens=2048)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def cramped(path: Path) -> Iterator[NativeEngine]:
    engine = open_tiny(path, states=MIN_STATES, context_tokens=1280)
    assert engine.info.max_sequences == 4
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def empty(roomy: NativeEngine, cramped: NativeEngine) -> None:
    for engine in (roomy, cramped):
        for sequence in range(engine.info.max_sequences):
            engine.free(sequence)


def test_a_prefix_is_shared_up_to_the_grid(roomy: NativeEngine, expected: Rows) -> None:
    grid = roomy.prefix_grid
    assert grid in (64, 128, 256)
    roomy.forward([BatchRow(0, TOKENS[:280], 0, 280)])
    assert roomy.reusable(0, 280) == 280
    assert roomy.reusable(0, 279) == 279 // grid * grid
    for sequence, shared in ((1, 280), (2, grid)):
        roomy.fork(0, sequence, shared)
        rows = roomy.forward([BatchRow(sequence, TOKENS[shared:], shared, 0)]).array
        assert rows.tobytes() == expected[shared:].tobytes()
    roomy.trim(0, grid)
    assert roomy.forward([BatchRow(0, TOKENS[grid:], grid, 0)]).array.tobytes() == expected[grid:].tobytes()


def test_between_two_states_nothing_can_be_shared(roomy: NativeEngine, expected: Rows) -> None:
    roomy.forward([BatchRow(0, TOKENS[:100], 0, 100)])
    with pytest.raises(ValueError, match="after 90 tokens"):
        roomy.fork(0, 1, 90)
    with pytest.raises(ValueError, match="after 90 tokens"):
        roomy.trim(0, 90)
    assert roomy.forward([BatchRow(0, TOKENS[100:], 100, 0)]).array.tobytes() == expected[100:].tobytes()


def test_drafts_can_be_undone(roomy: NativeEngine, expected: Rows) -> None:
    roomy.forward([BatchRow(0, TOKENS[:100], 0, 100)])
    wrong = [(token + 1) % VOCABULARY for token in TOKENS[101:110]]
    rows = roomy.forward([BatchRow(0, [TOKENS[100], *wrong], 100, 0)]).array
    assert rows[0].tobytes() == expected[100].tobytes()
    assert roomy.reusable(0, 101) == 100
    roomy.trim(0, 100)
    assert roomy.forward([BatchRow(0, TOKENS[100:], 100, 0)]).array.tobytes() == expected[100:].tobytes()


@settings(max_examples=15)
@given(data=st.data())
def test_no_history_changes_a_bit(cramped: NativeEngine, expected: Rows, data: st.DataObject) -> None:
    """With so few states that most of those on the grid are evicted."""
    count = cramped.info.max_sequences
    for sequence in range(count):
        cramped.free(sequence)
    lengths = [0] * count
    for _ in range(data.draw(st.integers(5, 25))):
        sequence, other = data.draw(st.permutations(range(count)))[:2]
        what = data.draw(st.sampled_from(["extend", "extend", "draft", "trim", "fork"]))
        start = lengths[sequence]
        kept = cramped.reusable(sequence, data.draw(st.integers(0, start)))
        if what == "trim":
            cramped.trim(sequence, kept)
            lengths[sequence] = kept
        elif what == "fork":
            cramped.free(other)
            cramped.fork(sequence, other, kept)
            lengths[other] = kept
        elif start < LENGTH:
            end = min(LENGTH, start + data.draw(st.integers(1, 90)))
            draft = what == "draft"
            rows = cramped.forward(
                [BatchRow(sequence, TOKENS[start:end], start, 0 if draft else end - start - 1)]
            )
            assert rows.array.tobytes() == expected[start if draft else end - 1 : end].tobytes()
            lengths[sequence] = end


def test_the_memory_decides_how_many_sequences_there_are(path: Path) -> None:
    size = size_of(path)
    assert size.state_bytes > 0
    counts = []
    for states in (4, 40, 400):
        memory_bytes = size.cache_bytes(64, states)
        engine = load(str(path), context_tokens=64, memory_bytes=memory_bytes, threads=1)
        info = engine.info
        assert size.cache_bytes(info.kv_tokens, 2 * info.max_sequences) <= memory_bytes
        counts.append(info.max_sequences)
        engine.close()
    assert counts[0] <= 4 < counts[1] < counts[2] < 200
    with pytest.raises(ModelLoadFailed, match=r"two states|one block"):
        load(str(path), context_tokens=16, memory_bytes=3 * size.state_bytes, threads=1)


def test_the_header_says_how_large_a_state_is(path: Path) -> None:
    size = size_of(path).state_bytes
    with pytest.raises(ModelLoadFailed, match=f"two states of {size} bytes"):
        load(str(path), context_tokens=16, memory_bytes=size, threads=1)


def request(text: bytes, **more: object) -> GenerationRequest:
    fields: dict[str, object] = {"sampling": Sampling(temperature=0), **more}
    return GenerationRequest("r", tuple(text), 40, **fields)  # type: ignore[arg-type]


def answers(
    engine: NativeEngine, requests: list[GenerationRequest], slope: float, chunk: int
) -> list[object]:
    for sequence in range(engine.info.max_sequences):
        engine.free(sequence)
    driver = Driver(engine, TABLE)
    driver.scheduler.speculation.costs.slope = slope
    for wanted in requests:
        driver.add(wanted)
    driver.run(chunk)
    return [told(heard.events, heard.error) for heard in driver.heard.values()]


def cached(heard: Heard) -> int:
    return next(event.cached_tokens for event in heard.events if isinstance(event, PromptDone))


def test_guesses_reuse_and_company_change_no_answer(roomy: NativeEngine, cramped: NativeEngine) -> None:
    chant = b"the bird said so and the wind said so too, " * 4
    wanted = [
        request(chant, ignore_eos=True),
        request(chant + b"and", num_choices=3, best_of=3, ignore_eos=True),
        request(b"what " + chant, sampling=Sampling(temperature=1, seed=5)),
        request(chant[:100], num_logprobs=2, num_prompt_logprobs=1),
        request(chant + b"and then"),
    ]
    alone = [answers(roomy, [each], NEVER, 512)[0] for each in wanted]
    for engine in (roomy, cramped):
        for slope in (ALWAYS, NEVER):
            assert answers(engine, wanted, slope, 64) == alone


def test_a_second_turn_reuses_the_first(roomy: NativeEngine) -> None:
    driver = Driver(roomy, TABLE)
    text = bytes(TOKENS[:270])
    assert cached(driver.ask(request(text))) == 0
    again = driver.ask(request(text + b"and now?"))
    assert cached(again) == len(text) // roomy.prefix_grid * roomy.prefix_grid > 0
    for sequence in range(roomy.info.max_sequences):
        roomy.free(sequence)
    fresh = Driver(roomy, TABLE).ask(request(text + b"and now?"))
    assert told(again.events, None) == told(fresh.events, None)

"""Every instruction set against the numpy reference, on batches of any kind."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.requests import Sampling
from myna.decoding.sampling import (
    IS_NATIVE,
    ChoiceSampling,
    Draw,
    RequestSampling,
    Sampled,
    SamplingBatch,
    SamplingThreads,
    instruction_sets,
    sample,
    score,
)
from myna.decoding.sampling_reference import draw_interval

THREADS = SamplingThreads(3)
NATIVE = [name for name in instruction_sets() if name != "numpy"]
Floats = npt.NDArray[np.float32]

# Around blocks (1,024) and lanes (16), and one of several blocks with a tail.
sizes = st.sampled_from([1, 2, 15, 16, 17, 31, 33, 1000, 1023, 1024, 1025, 2048, 5003])
parameters = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 1e-6, 0.3, 1.0, 2.0, 50.0]),
    top_p=st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.999, 1.0]),
    top_k=st.sampled_from([0, 1, 3, 40, 1500]),
    min_p=st.sampled_from([0.0, 0.02, 0.5, 1.0, 1.5]),
    repetition_penalty=st.sampled_from([1.0, 1.1, 0.5, 10.0]),
    presence_penalty=st.sampled_from([0.0, 1.5, -2.0]),
    frequency_penalty=st.sampled_from([0.0, 0.5]),
    seed=st.integers(-(2**63), 2**63 - 1),
)


@st.composite
def batches(draw: st.DrawFn) -> tuple[Floats, SamplingBatch]:
    vocab, rows = draw(sizes), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    counts = draw(st.sampled_from([0.0, 0.1, 3.0, 30.0]))
    logits = (rng.normal(size=(rows, vocab)) * counts).astype(np.float32)
    if draw(st.booleans()):
        logits = np.round(logits)  # ties
    if draw(st.booleans()):
        logits[rng.random(logits.shape) < 0.5] = -np.inf
    if draw(st.integers(0, 4)) == 0:
        logits[0, rng.integers(vocab)] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    masks = rng.integers(0, 2**32, (2, (vocab + 31) // 32), dtype=np.uint32)
    masks[1] &= rng.integers(0, 2**32, masks.shape[1], dtype=np.uint32)
    is_masked = draw(st.booleans())
    draws = []
    for position in range(draw(st.integers(1, 5))):
        wanted = draw(parameters)
        num_biases = draw(st.integers(0, min(vocab, 8)))
        biased = rng.choice(vocab, num_biases, replace=False)
        bias = tuple((int(token), float(rng.choice([-100, -3, 2, 100]))) for token in biased)
        wanted = msgspec.structs.replace(wanted, logit_bias=bias)
        num_logprobs = draw(st.sampled_from([None, 0, 1, 5, 20]))
        prompt = rng.integers(0, vocab, draw(st.integers(0, 30))).tolist()
        banned = rng.integers(0, vocab, draw(st.integers(0, 2))).tolist()
        request = RequestSampling(wanted, prompt, end_tokens=banned, min_tokens=2)
        choice = ChoiceSampling(request, draw(st.integers(0, 127)), num_logprobs)
        for token in rng.integers(0, vocab, draw(st.integers(0, 30))):
            choice.accept(int(token))
        mask_row = draw(st.integers(-1, 1)) if is_masked else -1
        draws.append(Draw(int(rng.integers(rows)), choice, position, mask_row))
    return logits, SamplingBatch.of(draws, masks if is_masked else None)


def assert_same_bits(first: Sampled, second: Sampled) -> None:
    for name in Sampled.__slots__:
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_the_extension_is_built() -> None:
    assert IS_NATIVE
    assert "portable" in NATIVE


@given(batches())
def test_draws_are_those_of_the_reference(case: tuple[Floats, SamplingBatch]) -> None:
    logits, batch = case
    reference = sample(logits, batch, instruction_set="numpy")
    drawn = sample(logits, batch)
    assert drawn.status.tolist() == reference.status.tolist()
    for index in range(len(batch)):
        if drawn.tokens[index] != reference.tokens[index]:
            # A rounding apart is a draw apart only where the point lies on the edge between two tokens.
            low, high = draw_interval(logits, batch, index, int(drawn.tokens[index]))
            assert low - 1e-5 <= 0 <= high + 1e-5
    assert_close(drawn, reference, drawn.tokens == reference.tokens)


@pytest.mark.parametrize("kernel", NATIVE)
@given(case=batches())
def test_all_instruction_sets_give_the_same_bits(kernel: str, case: tuple[Floats, SamplingBatch]) -> None:
    assert_same_bits(sample(*case), sample(*case, instruction_set=kernel))


@given(batches())
def test_threads_change_no_bit(case: tuple[Floats, SamplingBatch]) -> None:
    assert_same_bits(sample(*case), sample(*case, threads=THREADS))
    logits = np.repeat(case[0], 4, axis=0)
    targets = np.arange(len(logits), dtype=np.int32) % logits.shape[1]
    assert_same_bits(score(logits, targets, 5), score(logits, targets, 5, threads=THREADS))


def test_callers_may_share_threads() -> None:
    logits = np.random.default_rng(4).normal(size=(8, 5000)).astype(np.float32)
    draws = [Draw(row, ChoiceSampling(RequestSampling(Sampling(seed=5)), 0, 3), 0) for row in range(8)]
    batch = SamplingBatch.of(draws)
    with ThreadPoolExecutor(4) as callers:
        results = list(callers.map(lambda _: sample(logits, batch, threads=THREADS), range(100)))
    for result in results:
        assert_same_bits(result, sample(logits, batch))


@given(batches())
def test_neighbours_change_no_bit(case: tuple[Floats, SamplingBatch]) -> None:
    logits, batch = case
    together = sample(logits, batch)
    for index in range(len(batch)):
        alone = sample(logits, only(batch, index))
        assert alone.tokens[0] == together.tokens[index]
        assert alone.logprobs.tobytes() == together.logprobs[index : index + 1].tobytes()


def test_rows_may_lie_apart() -> None:
    wide = np.random.default_rng(3).normal(size=(4, 3000)).astype(np.float32)
    part = wide[::2, :2000]
    draws = [Draw(row, ChoiceSampling(RequestSampling(Sampling(seed=5)), 0, 3), 0) for row in range(2)]
    apart, copied = (sample(rows, SamplingBatch.of(draws)) for rows in (part, np.ascontiguousarray(part)))
    assert apart.tokens.tolist() == copied.tokens.tolist()
    assert apart.top_logprobs.tobytes() == copied.top_logprobs.tobytes()


@given(batches(), st.integers(0, 20))
def test_scores_are_those_of_the_reference(case: tuple[Floats, SamplingBatch], num_top: int) -> None:
    logits, _ = case
    targets = np.arange(len(logits), dtype=np.int32) % logits.shape[1]
    reference = score(logits, targets, num_top, instruction_set="numpy")
    for kernel in NATIVE:
        scored = score(logits, targets, num_top, instruction_set=kernel)
        assert scored.status.tolist() == reference.status.tolist()
        assert scored.tokens.tolist() == reference.tokens.tolist()
        assert_close(scored, reference, np.ones(len(logits), np.bool_))


@pytest.mark.parametrize("kernel", NATIVE)
@given(case=batches(), data=st.data())
def test_garbage_is_refused_or_harmless(
    kernel: str, case: tuple[Floats, SamplingBatch], data: st.DataObject
) -> None:
    logits, batch = case
    fields = {name: getattr(batch, name) for name in SamplingBatch.__slots__}
    for name in data.draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3)):
        if fields[name] is None:
            continue
        size = data.draw(st.sampled_from([0, 1, len(fields[name]), len(fields[name]) + 1]))
        kind = fields[name].dtype
        numbers = [0, 1, 2, logits.shape[1], 2**31 - 1]
        numbers += [-1, -(2**31)] if kind.kind != "u" else []
        numbers += [float("nan"), float("inf")] if kind.kind == "f" else []
        values = data.draw(st.lists(st.sampled_from(numbers), min_size=size, max_size=size))
        fields[name] = np.array(values, kind).reshape(size, 1) if name == "masks" else np.array(values, kind)
    # How many places an answer has is ours to say, not the caller's.
    fields["num_logprobs"] = np.minimum(fields["num_logprobs"], 20)
    try:
        drawn = sample(logits, SamplingBatch(**fields), instruction_set=kernel)
    except ValueError:
        return
    assert ((drawn.tokens >= -1) & (drawn.tokens < logits.shape[1])).all()


def assert_close(got: Sampled, wanted: Sampled, rows: npt.NDArray[np.bool_]) -> None:
    assert got.top_tokens.tolist() == wanted.top_tokens.tolist()
    np.testing.assert_allclose(got.logprobs[rows], wanted.logprobs[rows], rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(got.top_logprobs, wanted.top_logprobs, rtol=1e-5, atol=2e-5)


def only(batch: SamplingBatch, index: int) -> SamplingBatch:
    """The batch with one of its draws."""
    shared = ("masks", "prompt_offsets", "prompt_tokens", "bias_offsets", "bias_tokens", "bias_values")
    fields: dict[str, npt.NDArray[np.generic] | None] = {}
    for name in SamplingBatch.__slots__:
        values = getattr(batch, name)
        fields[name] = values if values is None or name in shared else values[index : index + 1]
    offsets = batch.count_offsets
    if offsets is not None:
        span = slice(offsets[index], offsets[index + 1])
        fields["count_offsets"] = np.array([0, offsets[index + 1] - offsets[index]], np.int32)
        for part in ("tokens", "values"):
            fields[f"count_{part}"] = getattr(batch, f"count_{part}")[span]
    return SamplingBatch(**fields)  # type: ignore[arg-type]

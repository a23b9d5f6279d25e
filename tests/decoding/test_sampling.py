"""Sampling's contract: what is drawn, what is reported, what never depends on what."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from myna.core.requests import Sampling
from myna.decoding.sampling import (
    ChoiceSampling,
    Draw,
    RequestSampling,
    RowStatus,
    Sampled,
    SamplingBatch,
    TokenCounts,
    instruction_sets,
    sample,
    score,
)
from myna.decoding.sampling_reference import philox

Floats = npt.NDArray[np.float32]


def one(
    kernel: str,
    logits: Sequence[float] | Floats,
    parameters: Sampling,
    *,
    prompt: Sequence[int] = (),
    generated: Sequence[int] = (),
    num_logprobs: int | None = None,
    allowed: Sequence[int] | None = None,
    position: int = 0,
) -> Sampled:
    choice = ChoiceSampling(RequestSampling(parameters, prompt), 0, num_logprobs)
    for token in generated:
        choice.accept(token)
    row = np.asarray(logits, np.float32)[None]
    masks = None if allowed is None else packed([allowed], row.shape[1])
    draw = Draw(0, choice, position, -1 if allowed is None else 0)
    return sample(row, SamplingBatch.of([draw], masks), instruction_set=kernel)


def packed(rows: Sequence[Sequence[int]], vocab_size: int) -> npt.NDArray[np.uint32]:
    masks = np.zeros((len(rows), (vocab_size + 31) // 32), np.uint32)
    for row, tokens in enumerate(rows):
        for token in tokens:
            masks[row, token // 32] |= np.uint32(1 << token % 32)
    return masks


GREEDY = Sampling(temperature=0)


@pytest.fixture(params=instruction_sets())
def kernel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_temperature_zero_takes_the_most_likely_and_ties_go_to_the_lower_id(kernel: str) -> None:
    assert one(kernel, [1, 5, 2, 5], GREEDY).tokens[0] == 1
    flat = np.zeros(4001, np.float32)
    flat[[3999, 1234, 4000]] = 1
    assert one(kernel, flat, GREEDY).tokens[0] == 1234


def test_bias_is_added_before_the_choice(kernel: str) -> None:
    banned = Sampling(temperature=0, logit_bias=((1, -100.0), (3, -100.0)))
    assert one(kernel, [1, 5, 2, 5], banned).tokens[0] == 2
    forced = Sampling(temperature=0, logit_bias=((0, 100.0),))
    assert one(kernel, [1, 5, 2, 5], forced).tokens[0] == 0


def test_penalties_are_those_of_openai(kernel: str) -> None:
    logits = [3.0, 2.0, 1.0]
    presence = Sampling(temperature=0, presence_penalty=1.5)
    assert one(kernel, logits, presence, generated=[0]).tokens[0] == 1
    assert one(kernel, logits, presence).tokens[0] == 0
    frequency = Sampling(temperature=0, frequency_penalty=0.75)
    assert one(kernel, logits, frequency, generated=[0]).tokens[0] == 0
    assert one(kernel, logits, frequency, generated=[0, 0]).tokens[0] == 1
    assert one(kernel, logits, frequency, generated=[0, 0, 0, 1, 1]).tokens[0] == 2


def test_repetition_is_penalised_as_in_transformers(kernel: str) -> None:
    """The arithmetic of its RepetitionPenaltyLogitsProcessor: logits above 0 are divided, others multiplied,
    once for each token of prompt and output."""
    halved = Sampling(temperature=0, repetition_penalty=2.0)
    assert one(kernel, [3.0, 2.0, 1.0], halved).tokens[0] == 0
    assert one(kernel, [3.0, 2.0, 1.0], halved, prompt=[0, 0]).tokens[0] == 1, "1.5 against 2"
    assert one(kernel, [3.0, 2.0, 1.0], halved, generated=[0, 0]).tokens[0] == 1
    assert one(kernel, [3.0, 1.0, -9.0], halved, prompt=[0], generated=[0]).tokens[0] == 0, "1.5, not 0.75"
    assert one(kernel, [-1.0, -1.5], halved, prompt=[0]).tokens[0] == 1, "-2 against -1.5"
    liked = Sampling(temperature=0, repetition_penalty=0.5)
    assert one(kernel, [3.0, 2.0], liked, prompt=[1]).tokens[0] == 1, "3 against 4"
    both = Sampling(temperature=0, repetition_penalty=2.0, presence_penalty=1.0)
    assert one(kernel, [6.0, 2.5], both, generated=[0]).tokens[0] == 1, "6 / 2 - 1, not (6 - 1) / 2 = 2.5"


def test_an_answer_does_not_end_before_its_minimum(kernel: str) -> None:
    request = RequestSampling(
        Sampling(temperature=0, logit_bias=((1, 100.0), (2, 50.0))), end_tokens=[1, 3], min_tokens=2
    )
    choice = ChoiceSampling(request, 0, None)
    logits = np.array([[0, 9, 8, 200]], np.float32)
    batch = SamplingBatch.of([Draw(0, choice, position) for position in range(3)])
    assert sample(logits, batch, instruction_set=kernel).tokens.tolist() == [2, 2, 3]


def test_a_mask_forbids_whatever_the_logits_say(kernel: str) -> None:
    assert one(kernel, [9, 5, 2, 5], GREEDY, allowed=[2, 3]).tokens[0] == 3
    hot = Sampling(temperature=2.0)
    drawn = {int(one(kernel, [9, 5, 2, 5], hot, allowed=[1, 2], position=i).tokens[0]) for i in range(200)}
    assert drawn == {1, 2}


def test_a_row_without_a_token_left_fails_alone(kernel: str) -> None:
    logits = np.zeros((3, 40), np.float32)
    logits[1, 7] = np.nan
    logits[2, 8] = np.inf
    choice = ChoiceSampling(RequestSampling(Sampling()), 0, None)
    masks = packed([[]], 40)
    draws = [Draw(0, choice, 0, 0), Draw(0, choice, 0), Draw(1, choice, 0), Draw(2, choice, 0)]
    drawn = sample(logits, SamplingBatch.of(draws, masks), instruction_set=kernel)
    assert [RowStatus(status) for status in drawn.status] == [
        RowStatus.NOTHING_ALLOWED,
        RowStatus.OK,
        RowStatus.BAD_LOGITS,
        RowStatus.BAD_LOGITS,
    ]
    assert [token >= 0 for token in drawn.tokens] == [False, True, False, False]


def test_choices_that_share_a_bias_cost_a_batch_no_more_than_one(kernel: str) -> None:
    parameters = Sampling(temperature=0, logit_bias=tuple((token, -1.0) for token in range(1024, 0, -1)))
    request = RequestSampling(parameters)
    bias = request.bias_at(0)
    assert bias is not None
    choices = [ChoiceSampling(request, choice, None) for choice in range(128)]
    biased = Sampling(temperature=0, logit_bias=((0, 9.0), (1, 9.5)))
    other = ChoiceSampling(RequestSampling(biased), 0, None)
    free = ChoiceSampling(RequestSampling(Sampling(temperature=0)), 0, None)
    shared = SamplingBatch.of([Draw(0, choice, 0) for choice in choices])
    assert shared.bias_tokens is bias.tokens, "not even copied"
    mixed = SamplingBatch.of([Draw(0, choice, 0) for choice in (*choices, other, free)])
    assert mixed.bias_tokens is not None
    assert len(mixed.bias_tokens) == 1024 + 2
    logits = np.zeros((1, 1100), np.float32)
    logits[0, [1, 1090]] = 0.5, 0.25
    drawn = sample(logits, mixed, instruction_set=kernel).tokens.tolist()
    assert drawn == [1090] * 128 + [1, 1]


def test_a_bias_past_all_floats_draws_nothing(kernel: str) -> None:
    for parameters in (Sampling(), Sampling(temperature=0), Sampling(top_p=0.5, top_k=2)):
        biased = msgspec.structs.replace(parameters, logit_bias=((1, 3e38),))
        assert one(kernel, [1, 3e38, 2], biased).status[0] == RowStatus.BAD_LOGITS


def test_logprobs_are_of_the_raw_distribution(kernel: str) -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    parameters = Sampling(temperature=0, logit_bias=((3, 100.0),), presence_penalty=2)
    drawn = one(kernel, logits, parameters, num_logprobs=2, generated=[0], allowed=[2, 3])
    assert drawn.tokens[0] == 3
    assert np.exp(drawn.logprobs[0]) == pytest.approx(0.05, rel=1e-5)
    assert drawn.top_tokens[0].tolist() == [0, 1]
    assert np.exp(drawn.top_logprobs[0]) == pytest.approx([0.5, 0.3], rel=1e-5)


def test_top_logprobs_break_ties_by_id_and_pad_past_the_vocabulary(kernel: str) -> None:
    drawn = one(kernel, [1, 2, 2], GREEDY, num_logprobs=5)
    assert drawn.top_tokens[0].tolist() == [1, 2, 0, -1, -1]
    assert np.isnan(drawn.top_logprobs[0, 3:]).all()
    assert np.isnan(one(kernel, [1, 2, 2], GREEDY).logprobs[0])


@pytest.mark.parametrize(
    ("parameters", "possible"),
    [
        (Sampling(top_k=2), {0, 1}),
        (Sampling(top_k=1 << 40), {0, 1, 2, 3}),
        (Sampling(top_p=0.79), {0, 1}),
        (Sampling(top_p=0.81), {0, 1, 2}),
        (Sampling(top_p=0.0), {0}),
        (Sampling(min_p=0.25), {0, 1, 2}),
        # Of the three left by top-k, top-p 0.5 needs the first alone (0.5 of 0.95).
        (Sampling(top_k=3, top_p=0.5), {0}),
        # 0.15 is under half of the most likely: min-p drops what the others would have kept.
        (Sampling(top_k=3, top_p=0.95, min_p=0.5), {0, 1}),
    ],
)
def test_filters_keep_what_their_order_says(kernel: str, parameters: Sampling, possible: set[int]) -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    drawn = {int(one(kernel, logits, parameters, position=i).tokens[0]) for i in range(300)}
    assert drawn == possible


def test_draws_follow_the_distribution(kernel: str) -> None:
    weights = np.array([0.5, 0.3, 0.15, 0.05])
    choice = ChoiceSampling(RequestSampling(Sampling(seed=7)), 0, None)
    draws = [Draw(0, choice, position) for position in range(20_000)]
    drawn = sample(np.log(weights).astype(np.float32)[None], SamplingBatch.of(draws), instruction_set=kernel)
    shares = np.bincount(drawn.tokens, minlength=4) / len(draws)
    assert shares == pytest.approx(weights, abs=0.015)


def test_a_draw_depends_on_seed_choice_and_position_alone(kernel: str) -> None:
    logits = np.random.default_rng(1).normal(size=(4, 3000)).astype(np.float32)
    requests = [RequestSampling(Sampling(seed=seed)) for seed in (1, -1)]
    choices = [ChoiceSampling(request, index, None) for request in requests for index in range(2)]
    draws = [Draw(row, choice, position) for row in range(4) for choice in choices for position in (0, 1)]
    together = sample(logits, SamplingBatch.of(draws), instruction_set=kernel).tokens
    backwards = sample(logits, SamplingBatch.of(draws[::-1]), instruction_set=kernel).tokens[::-1]
    alone = [
        int(sample(logits, SamplingBatch.of([draw]), instruction_set=kernel).tokens[0]) for draw in draws
    ]
    assert together.tolist() == backwards.tolist() == alone
    assert len(set(alone)) > len(draws) // 2


def test_random_numbers_are_philox() -> None:
    # The known answers that Random123 publishes for philox4x32-10.
    assert philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    ones = 0xFFFFFFFF
    assert philox((ones,) * 4, (ones, ones)) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    pi = ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0))
    assert philox(*pi) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


def test_counts_grow_past_any_size() -> None:
    counts = TokenCounts()
    for token in [5, 6, 5, *range(100, 200), 5]:
        counts.add(token)
    assert dict(zip(counts.tokens.tolist(), counts.counts.tolist(), strict=True)) == {
        5: 3,
        6: 1,
        **dict.fromkeys(range(100, 200), 1),
    }


def test_score_gives_each_target_its_logprob(kernel: str) -> None:
    logits = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], np.float32))
    scored = score(logits, np.array([1, 2], np.int32), 1, instruction_set=kernel)
    assert np.exp(scored.logprobs) == pytest.approx([0.3, 0.8], rel=1e-5)
    assert scored.top_tokens.tolist() == [[0], [2]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"row": np.array([1], np.int32)},
        {"row": np.array([-1], np.int32)},
        {"mask_row": np.array([1], np.int32), "masks": np.zeros((1, 1), np.uint32)},
        {"mask_row": np.array([0], np.int32), "masks": np.zeros((1, 0), np.uint32)},
        {
            "bias_offsets": np.array([0, 1], np.int32),
            "bias_tokens": np.array([4], np.int32),
            "bias_values": np.array([1], np.float32),
            "bias_row": np.array([0], np.int32),
        },
        {
            "bias_offsets": np.array([0, 1], np.int32),
            "bias_tokens": np.array([3], np.int32),
            "bias_values": np.array([1], np.float32),
            "bias_row": np.array([1], np.int32),
        },
        {
            "count_offsets": np.array([0, 2], np.int32),
            "count_tokens": np.array([0], np.int32),
            "count_values": np.array([1], np.int32),
        },
        {"temperature": np.array([np.nan], np.float32)},
        {"temperature": np.array([], np.float32)},
    ],
)
def test_what_would_read_out_of_bounds_is_refused(
    kernel: str, wrong: dict[str, npt.NDArray[np.generic]]
) -> None:
    good = SamplingBatch.of([Draw(0, ChoiceSampling(RequestSampling(Sampling()), 0, None), 0)])
    fields = {name: getattr(good, name) for name in SamplingBatch.__slots__} | wrong
    with pytest.raises(ValueError, match=r"row|mask|bias|offsets|count|temperature"):
        sample(np.zeros((1, 4), np.float32), SamplingBatch(**fields), instruction_set=kernel)


def test_targets_out_of_range_are_refused(kernel: str) -> None:
    with pytest.raises(ValueError, match="targets"):
        score(np.zeros((1, 4), np.float32), np.array([1, 1], np.int32), 0, instruction_set=kernel)
    for target in (-1, 4):
        with pytest.raises(ValueError, match="target"):
            score(np.zeros((1, 4), np.float32), np.array([target], np.int32), 0, instruction_set=kernel)

"""A request's sampling as vLLM's parameters."""

import pytest

from myna.core.requests import GenerationRequest, Sampling
from myna.workers.vllm.parameters import priority, sampling_parameters

REQUEST = GenerationRequest(
    "r",
    (1, 2, 3),
    20,
    num_choices=3,
    sampling=Sampling(0.5, 0.9, 40, 0.05, 1.1, 0.25, -0.5, ((7, -100.0), (8, 3.0)), seed=11),
    stop=("never vLLM's",),
    min_tokens=4,
    num_prompt_logprobs=2,
    priority=3,
)


def test_every_parameter_has_its_name_there() -> None:
    assert sampling_parameters(REQUEST, 0, end_tokens={9, 2}, num_logprobs=5) == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.25,
        "frequency_penalty": -0.5,
        "logit_bias": {7: -100.0, 8: 3.0},
        "seed": 11,
        "max_tokens": 20,
        "min_tokens": 4,
        "stop_token_ids": [2, 9],
        "ignore_eos": True,
        "logprobs": 5,
        "prompt_logprobs": 2,
        "detokenize": False,
    }
    assert priority(REQUEST) == -3


def test_choices_differ_in_their_seed_and_only_the_first_scores_the_prompt() -> None:
    third = sampling_parameters(REQUEST, 2, end_tokens=(), num_logprobs=None)
    assert (third["seed"], third["prompt_logprobs"], third["logprobs"]) == (13, None, None)


@pytest.mark.parametrize("seed", [-1, (1 << 64) - 1])
def test_any_seed_is_one_that_vllm_takes(seed: int) -> None:
    request = GenerationRequest("r", (1,), 2, sampling=Sampling(seed=seed))
    assert 0 <= sampling_parameters(request, 0, end_tokens=(), num_logprobs=None)["seed"] < 1 << 63


def test_a_choice_that_goes_on_has_the_rest_of_its_tokens() -> None:
    rest = sampling_parameters(REQUEST, 0, end_tokens=(), num_logprobs=None, num_generated=18)
    assert (rest["max_tokens"], rest["min_tokens"], rest["prompt_logprobs"]) == (2, 0, None)


def test_a_request_that_only_scores_its_prompt_asks_for_the_one_token_that_vllm_needs() -> None:
    request = GenerationRequest("r", (1,), 0)
    assert sampling_parameters(request, 0, end_tokens=(), num_logprobs=None)["max_tokens"] == 1

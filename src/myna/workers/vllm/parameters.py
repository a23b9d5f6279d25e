"""A request as vLLM's sampling parameters. Pure: names and values, without vLLM."""

from collections.abc import Collection
from typing import Any, Final

from myna.core.requests import GenerationRequest

_SEEDS: Final = 1 << 63  # vLLM takes a signed number of 64 bits


def sampling_parameters(
    request: GenerationRequest,
    choice: int,
    *,
    end_tokens: Collection[int],
    num_logprobs: int | None,
    num_generated: int = 0,
) -> dict[str, Any]:
    """The arguments of `vllm.SamplingParams` for one choice, which has `num_generated` tokens already. Text,
    stop strings and the end of the answer are the output processor's: vLLM only ends at `end_tokens`."""
    sampling = request.sampling
    is_first = choice == 0 and not num_generated
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": dict(sampling.logit_bias) or None,
        "seed": (sampling.seed + choice) % _SEEDS,
        # A request that only scores its prompt gets one token, which nobody sees.
        "max_tokens": max(1, request.max_tokens - num_generated),
        "min_tokens": min(
            max(0, request.min_tokens - num_generated), max(1, request.max_tokens - num_generated)
        ),
        "stop_token_ids": sorted(end_tokens),
        "ignore_eos": True,  # those of the model are among `end_tokens`
        "logprobs": num_logprobs,
        "prompt_logprobs": request.num_prompt_logprobs if is_first else None,
        "detokenize": False,
    }


def priority(request: GenerationRequest) -> int:
    """vLLM serves lower numbers first."""
    return -request.priority

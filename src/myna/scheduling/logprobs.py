"""Reads log-probabilities from the sampler's arrays, one draw at a time."""

from myna.decoding.choice_output import SampledLogprobs
from myna.decoding.sampling import Sampled


def read_logprobs(sampled: Sampled, index: int, num_top: int) -> SampledLogprobs:
    """The log-probabilities of draw `index`, with its `num_top` most likely tokens, or fewer if there are
    fewer."""
    logprob = float(sampled.logprobs[index])
    if not num_top:
        return SampledLogprobs(logprob)
    tokens: list[int] = sampled.top_tokens[index, :num_top].tolist()
    if tokens[-1] < 0:  # unused entries come last
        tokens = tokens[: tokens.index(-1)]
    return SampledLogprobs(logprob, tokens, sampled.top_logprobs[index, : len(tokens)].tolist())

"""From logits to tokens and log-probabilities, one call per step. The only user of `myna._sampling`."""

from importlib.util import find_spec

import numpy as np

from myna.decoding import sampling_reference
from myna.decoding.sampling_batch import (
    ChoiceSampling,
    Draw,
    Floats,
    Ints,
    RequestSampling,
    RowStatus,
    Sampled,
    SamplingBatch,
    TokenCounts,
)

# A pure Python install has no extension; one that exists but can't be loaded should raise.
IS_NATIVE = find_spec("myna._sampling") is not None
if IS_NATIVE:
    from myna import _sampling

__all__ = [
    "IS_NATIVE",
    "ChoiceSampling",
    "Draw",
    "RequestSampling",
    "RowStatus",
    "Sampled",
    "SamplingBatch",
    "SamplingThreads",
    "TokenCounts",
    "instruction_sets",
    "sample",
    "score",
]

_NUMPY = "numpy"


def instruction_sets() -> tuple[str, ...]:
    """The instruction sets that `sample` and `score` support on this machine, best first; the last is the
    reference."""
    return (*_sampling.instruction_sets(), _NUMPY) if IS_NATIVE else (_NUMPY,)


class SamplingThreads:
    """Threads that sample the rows of a step in parallel, the caller's among them. They last until the object
    is deleted, and sleep between steps."""

    def __init__(self, count: int) -> None:
        self.native = _sampling.Threads(count) if IS_NATIVE and count > 1 else None


def sample(
    logits: Floats,
    batch: SamplingBatch,
    *,
    instruction_set: str = "",
    threads: SamplingThreads | None = None,
) -> Sampled:
    """Draw one token for each entry of the batch from `logits` (rows, vocabulary), read in place.

    A draw depends only on its row, its parameters and (seed, choice, position), never on other draws,
    threads or instruction sets. The repetition penalty comes first: of tokens in the prompt or the output,
    logits above 0 are divided by it and others multiplied. Then penalties (`- count * frequency - presence`
    for generated tokens) and bias are added, and the mask is applied. Temperature 0 takes the most likely
    token, ties to the lower id. Otherwise weights are the exponentials of score / temperature, filtered in
    this order: top-k keeps the k most likely tokens, top-p the fewest of those that hold that share of the
    remaining probability, min-p those with at least that fraction of the highest probability. Raises
    ValueError for ids, rows or masks out of range; NaN or infinity in a row only fails that draw, through its
    status.
    """
    out = Sampled.empty(len(batch), max((0, *batch.num_logprobs.tolist())))
    if not IS_NATIVE or instruction_set == _NUMPY:
        sampling_reference.sample(logits, batch, out)
        return out
    _sampling.sample(
        logits,
        batch.row,
        batch.temperature,
        batch.top_p,
        batch.top_k,
        batch.min_p,
        batch.repetition_penalty,
        batch.presence_penalty,
        batch.frequency_penalty,
        batch.seed,
        batch.choice,
        batch.position,
        batch.num_logprobs,
        batch.count_offsets,
        batch.count_tokens,
        batch.count_values,
        batch.prompt_offsets,
        batch.prompt_tokens,
        batch.prompt_row,
        batch.bias_offsets,
        batch.bias_tokens,
        batch.bias_values,
        batch.bias_row,
        batch.mask_row,
        batch.masks,
        out.tokens,
        out.status,
        out.logprobs,
        out.top_tokens,
        out.top_logprobs,
        instruction_set,
        threads.native if threads else None,
    )
    return out


def score(
    logits: Floats,
    targets: Ints,
    num_top: int,
    *,
    instruction_set: str = "",
    threads: SamplingThreads | None = None,
) -> Sampled:
    """Log-probability of `targets[i]` in row i, and the `num_top` most likely tokens: prompt
    log-probabilities, a chunk at a time. `tokens` of the result are the targets, -1 where the row is
    invalid."""
    if len(targets) != len(logits):
        raise ValueError(f"{len(targets)} targets for {len(logits)} rows of logits")
    out = Sampled.empty(len(targets), num_top)
    targets = np.ascontiguousarray(targets, np.int32)
    if not IS_NATIVE or instruction_set == _NUMPY:
        sampling_reference.score(logits, targets, num_top, out)
        return out
    _sampling.score(
        logits,
        targets,
        out.tokens,
        out.status,
        out.logprobs,
        out.top_tokens,
        out.top_logprobs,
        instruction_set,
        threads.native if threads else None,
    )
    return out

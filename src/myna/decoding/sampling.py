"""From logits to tokens and log-probabilities, one call a step. The only user of `myna._sampling`."""

import numpy as np

from myna.decoding import sampling_reference
from myna.decoding.sampling_batch import (
    ChoiceSampling,
    Draw,
    Floats,
    Ints,
    RowStatus,
    Sampled,
    SamplingBatch,
    TokenCounts,
)

__all__ = [
    "ChoiceSampling",
    "Draw",
    "RowStatus",
    "Sampled",
    "SamplingBatch",
    "TokenCounts",
    "sample",
    "score",
]


def sample(logits: Floats, batch: SamplingBatch) -> Sampled:
    """Draw one token for each entry of the batch from `logits` (rows, vocabulary), read in place.

    A draw depends on its row, its parameters and (seed, choice, position) alone: never on other
    draws, threads or instruction sets. Penalties (`- count * frequency - presence` for generated
    tokens) and bias are added first, then the mask forbids; temperature 0 takes the likeliest, ties
    to the lower id. Otherwise weights are the exponentials of score / temperature, and filters act in
    this order: top-k keeps the k likeliest, top-p the fewest of those that hold that share of what
    is left, min-p those at least that fraction of the likeliest. Raises ValueError for ids, rows or
    masks out of range; bad numbers in a row fail that draw alone, by its status.
    """
    out = Sampled.empty(len(batch), max(0, int(batch.num_logprobs.max(initial=0))))
    sampling_reference.sample(logits, batch, out)
    return out


def score(logits: Floats, targets: Ints, num_top: int) -> Sampled:
    """Log-probability of `targets[i]` under row i, and the `num_top` likeliest: prompt log-probabilities,
    a chunk at a time. `tokens` of the answer are the targets, -1 where the row is bad."""
    if len(targets) != len(logits):
        raise ValueError(f"{len(targets)} targets for {len(logits)} rows of logits")
    out = Sampled.empty(len(targets), num_top)
    sampling_reference.score(logits, np.asarray(targets, np.int32), num_top, out)
    return out

"""How far two engines' logits are from float32's, token by token, and whether one is farther by chance."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]


def log_softmax(logits: Rows) -> Values:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    result: Values = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return result


def divergences(reference: Rows, other: Rows) -> Values:
    """KL(reference || other) of each row, in nats."""
    # Row by row: float64 of all of them would leave the processor's caches.
    return np.array([_divergence(reference[[i]], other[[i]]) for i in range(len(reference))])


def _divergence(reference: Rows, other: Rows) -> float:
    expected = log_softmax(reference)
    return float((np.exp(expected) * (expected - log_softmax(other))).sum())


@dataclass(frozen=True, slots=True)
class Comparison:
    """Mean divergences, and the 95 % bootstrap interval of ours - theirs over tokens, paired."""

    ours: float
    theirs: float
    low: float
    high: float


def compare(ours: Values, theirs: Values, *, resamples: int = 2000) -> Comparison:
    rng = np.random.default_rng(0)
    difference = ours - theirs
    picks = rng.integers(0, len(difference), (resamples, len(difference)))
    low, high = np.quantile(difference[picks].mean(axis=1), [0.025, 0.975])
    return Comparison(float(ours.mean()), float(theirs.mean()), float(low), float(high))

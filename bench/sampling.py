"""CPU time of sampling one token, per instruction set, relative to numpy and to reading the row once.

python bench/sampling.py [--vocab 151936] [--rows 8]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from myna.core.requests import Sampling
from myna.decoding.sampling import (
    ChoiceSampling,
    Draw,
    RequestSampling,
    SamplingBatch,
    instruction_sets,
    sample,
    score,
)

CASES: dict[str, tuple[Sampling, int | None, bool]] = {
    "greedy": (Sampling(temperature=0), None, False),
    "greedy, two biases": (Sampling(temperature=0, logit_bias=((5, -100.0), (70_000, -100.0))), None, False),
    "temperature 1": (Sampling(), None, False),
    "top-p 0.9": (Sampling(top_p=0.9), None, False),
    "top-p 0.95, temperature 2": (Sampling(temperature=2, top_p=0.95), None, False),
    "top-k 50": (Sampling(top_k=50), None, False),
    "top-k 50, top-p 0.9, min-p 0.05": (Sampling(top_k=50, top_p=0.9, min_p=0.05), None, False),
    "penalties over 500 tokens": (Sampling(presence_penalty=0.5, frequency_penalty=0.5), None, False),
    "5 log-probabilities": (Sampling(), 5, False),
    "mask": (Sampling(), None, True),
}


def seconds(call: Callable[[], object], *, rounds: int = 15) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.thread_time()
        call()
        best = min(best, time.thread_time() - start)
    return best


def language_like(rows: int, vocab: int) -> npt.NDArray[np.float32]:
    """Rows with a few likely tokens and a long tail, like those of a language model."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2.5, (rows, vocab))
    for row in logits:
        row[rng.integers(0, vocab, 30)] += rng.exponential(6, 30) + 4
    return logits.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab", type=int, default=151_936)
    parser.add_argument("--rows", type=int, default=8)
    arguments = parser.parse_args()
    logits = language_like(arguments.rows, arguments.vocab)
    masks = np.random.default_rng(1).integers(0, 2**32, (1, (arguments.vocab + 31) // 32), dtype=np.uint32)
    read = seconds(lambda: logits.max()) / arguments.rows
    sets = instruction_sets()
    print(f"{arguments.rows} rows of {arguments.vocab:,}; numpy's max reads one in {read * 1e6:.0f} us")
    print(f"{'microseconds per draw':34}" + "".join(f"{name:>12}" for name in sets) + "   numpy / best")
    for name, (parameters, num_logprobs, is_masked) in CASES.items():
        choice = ChoiceSampling(RequestSampling(parameters), 0, num_logprobs)
        for token in range(0, 50_000, 100):
            choice.accept(token)
        draws = [Draw(row, choice, 0, 0 if is_masked else -1) for row in range(arguments.rows)]
        batch = SamplingBatch.of(draws, masks if is_masked else None)
        times = [_time_draw(logits, batch, kernel) / arguments.rows for kernel in sets]
        row = "".join(f"{1e6 * value:12.1f}" for value in times)
        print(f"{name:34}{row}{times[-1] / min(times):13.1f}x")
    targets = np.zeros(arguments.rows, np.int32)
    times = [_time_score(logits, targets, kernel) / arguments.rows for kernel in sets]
    row = "".join(f"{1e6 * value:12.1f}" for value in times)
    print(f"{'score, 5 most likely':34}{row}{times[-1] / min(times):13.1f}x")


def _time_draw(logits: npt.NDArray[np.float32], batch: SamplingBatch, kernel: str) -> float:
    rounds = 3 if kernel == "numpy" else 15
    return seconds(lambda: sample(logits, batch, instruction_set=kernel), rounds=rounds)


def _time_score(logits: npt.NDArray[np.float32], targets: npt.NDArray[np.int32], kernel: str) -> float:
    rounds = 3 if kernel == "numpy" else 15
    return seconds(lambda: score(logits, targets, 5, instruction_set=kernel), rounds=rounds)


if __name__ == "__main__":
    main()

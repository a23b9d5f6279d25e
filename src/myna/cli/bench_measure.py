"""How fast engines compute: prompts of several lengths, and several answers at once. Prints nothing."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

import numpy as np

from myna.engines.base import BatchRow, Engine
from myna.engines.native import MachineLimits, NativeEngine, StepWork

CONTEXT_TOKENS: Final = 2048
_PROMPT_TOKENS: Final = 64  # before the answers that are measured
_LEAST_S: Final = 0.25
_MOST_STEPS: Final = 64
_PROBE_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Scenario:
    """A prompt of `size` tokens, or one token of each of `size` answers."""

    kind: Literal["prefill", "decode"]
    size: int


SCENARIOS: Final = (
    *(Scenario("decode", size) for size in (1, 4, 8, 16, 32)),
    *(Scenario("prefill", size) for size in (128, 512, 1024)),
)


@dataclass(frozen=True, slots=True)
class Speed:
    """One scenario: `peer_tokens_per_s` is llama.cpp's, None where it wasn't measured."""

    scenario: Scenario
    tokens_per_s: float
    bytes_per_s: float
    ops_per_s: float
    peer_tokens_per_s: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.peer_tokens_per_s is None else self.tokens_per_s / self.peer_tokens_per_s


@dataclass(frozen=True, slots=True)
class BenchResult:
    """All results of one model. `limits` are the machine's."""

    model: str
    kernels: str
    num_threads: int
    limits: MachineLimits
    speeds: tuple[Speed, ...]


def measure(
    model: str, ours: NativeEngine, peer: Engine | None, rounds: int, at: Callable[[str, int], None]
) -> BenchResult:
    """The median of so many rounds, ours and the peer's in turn. `at` is called with what is measured next
    and the number of measurements done."""
    at("machine", 0)
    limits = ours.limits(_PROBE_S)
    engines: list[Engine] = [ours] if peer is None else [ours, peer]
    speeds: list[Speed] = []
    done = 0
    for scenario in SCENARIOS:
        if not _fits(scenario, engines):
            continue
        work, seconds = _one_step(ours, scenario), [list[float]() for _ in engines]
        for _ in range(rounds):
            for engine, found in zip(engines, seconds, strict=True):
                at(f"{scenario.kind} {scenario.size}", done)
                found.append(_seconds(engine, scenario))
                done += 1
        speeds.append(_speed(scenario, work, [median(found) for found in seconds]))
    return BenchResult(model, ours.kernels, ours.num_threads, limits, tuple(speeds))


def num_measurements(rounds: int, *, has_peer: bool) -> int:
    return len(SCENARIOS) * rounds * (2 if has_peer else 1)


def _speed(scenario: Scenario, work: StepWork, seconds: list[float]) -> Speed:
    ours = seconds[0]
    return Speed(
        scenario,
        tokens_per_s=scenario.size / ours,
        bytes_per_s=work.weight_bytes / ours,
        ops_per_s=2 * work.multiply_adds / ours,
        peer_tokens_per_s=scenario.size / seconds[1] if len(seconds) > 1 else None,
    )


def _fits(scenario: Scenario, engines: Sequence[Engine]) -> bool:
    answer = _PROMPT_TOKENS + _MOST_STEPS + 2 * 16
    needed = scenario.size if scenario.kind == "prefill" else answer
    room = scenario.size * (1 if scenario.kind == "prefill" else answer)
    return all(
        needed <= engine.info.context_tokens
        and room <= engine.info.kv_tokens
        and (scenario.kind == "prefill" or scenario.size <= engine.info.max_sequences)
        for engine in engines
    )


def _one_step(engine: NativeEngine, scenario: Scenario) -> StepWork:
    """The work of one step; running it also brings the weights into memory."""
    batch = next(_steps(engine, scenario))  # for answers, this computes their prompt
    before = engine.work
    engine.forward(batch)
    after = engine.work
    _clear(engine, scenario)
    return StepWork(*(new - old for new, old in zip(after, before, strict=True)))


def _seconds(engine: Engine, scenario: Scenario) -> float:
    """Seconds per step; a whole prompt is one step."""
    steps = _steps(engine, scenario)
    most = 1 if scenario.kind == "prefill" else _MOST_STEPS
    num_steps, spent = 0, 0.0
    while num_steps < most and spent < _LEAST_S:
        batch = next(steps)
        started = time.perf_counter()
        engine.forward(batch).array[:1].sum()  # read, so that nothing is left to do
        spent += time.perf_counter() - started
        num_steps += 1
    _clear(engine, scenario)
    return spent / num_steps


def _steps(engine: Engine, scenario: Scenario) -> Iterator[list[BatchRow]]:
    """Batches to compute, one after the other; the answers share their prompt."""
    draw = np.random.default_rng(0)

    def tokens(count: int) -> list[int]:
        drawn: list[int] = draw.integers(0, engine.info.vocab_size, count).tolist()
        return drawn

    if scenario.kind == "prefill":
        yield [BatchRow(0, tokens(scenario.size), 0, scenario.size - 1)]
        return
    engine.forward([BatchRow(0, tokens(_PROMPT_TOKENS), 0, _PROMPT_TOKENS)])
    for sequence in range(1, scenario.size):
        engine.fork(0, sequence, _PROMPT_TOKENS)
    for step in range(_MOST_STEPS):
        yield [BatchRow(sequence, tokens(1), _PROMPT_TOKENS + step, 0) for sequence in range(scenario.size)]


def _clear(engine: Engine, scenario: Scenario) -> None:
    for sequence in range(scenario.size if scenario.kind == "decode" else 1):
        engine.free(sequence)

"""Decode at several batch sizes, after one shared prefix, and prefill, in this process, with our engine and
llama.cpp taking turns.

    python bench/engine.py model.gguf [...] [--rounds 3] [--only decode-1,prefill-512] [--no-llamacpp]
    python bench/engine.py model.gguf --short        # about a minute for a model of 0.5b parameters

Prints tokens/s (median over rounds), the median ratio of the rounds with its quartiles, and what our
engine reached in GB/s of weights read (of a mixture, those of the experts used), as a share of what the
machine reads, and in GOPS of matrix products. After a change, tokens/s may be at most 2 % below those of the
commit before, run alternately on the same machine.
"""

import argparse
import ctypes
import statistics
import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from myna.engines.base import BatchRow
from myna.engines.native import load

PROMPT, PREFIX = 128, 2000
# How many steps each has: of this many sequences, or of one with this many tokens.
SCENARIOS = {
    "decode-1": 48,
    "decode-8": 24,
    "decode-32": 12,
    "shared-32": 12,
    "prefill-512": 1,
    "prefill-2000": 1,
}
CONTEXT = 8192


class Runner(Protocol):
    vocab_size: int

    def run(self, rows: list[tuple[int, list[int], int]]) -> None:
        """Compute (sequence, tokens, start) rows; logits of each row's last token."""

    def fork(self, sequence: int, tokens: int) -> None:
        """The sequence begins with this many tokens of sequence 0."""

    def clear(self) -> None: ...

    def work(self) -> tuple[int, int]:
        """Bytes of matrices and operations in total, if the engine counts them."""


class Ours:
    def __init__(self, path: str, threads: int) -> None:
        self._engine = load(path, context_tokens=CONTEXT, memory_bytes=2 << 30, threads=threads)
        self.vocab_size = self._engine.info.vocab_size

    def run(self, rows: list[tuple[int, list[int], int]]) -> None:
        self._engine.forward([BatchRow(s, tokens, start, len(tokens) - 1) for s, tokens, start in rows])

    def fork(self, sequence: int, tokens: int) -> None:
        self._engine.fork(0, sequence, tokens)

    def clear(self) -> None:
        for sequence in range(32):
            self._engine.free(sequence)

    def work(self) -> tuple[int, int]:
        work = self._engine.work
        return work.weight_bytes, 2 * work.multiply_adds

    def bandwidth(self) -> float:
        """The machine's, in GB/s of reading."""
        return self._engine.limits(1.0).bytes_per_s / 1e9


class Llama:
    def __init__(self, path: str, threads: int) -> None:
        import llama_cpp

        self._lib: Any = llama_cpp
        self._silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        model_params = llama_cpp.llama_model_default_params()
        model_params.use_extra_bufts = b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()
        self._model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = CONTEXT, 2048, 512
        params.n_threads = params.n_threads_batch = threads
        params.n_seq_max, params.kv_unified = 32, True
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def run(self, rows: list[tuple[int, list[int], int]]) -> None:
        batch = self._lib.llama_batch_init(sum(len(tokens) for _, tokens, _ in rows), 0, 1)
        i = 0
        for sequence, tokens, start in rows:
            for j, token in enumerate(tokens):
                batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, start + j, 1
                batch.seq_id[i][0], batch.logits[i] = sequence, j == len(tokens) - 1
                i += 1
        batch.n_tokens = i
        assert self._lib.llama_decode(self._context, batch) == 0
        self._lib.llama_synchronize(self._context)
        self._lib.llama_batch_free(batch)

    def fork(self, sequence: int, tokens: int) -> None:
        self._lib.llama_memory_seq_cp(self._lib.llama_get_memory(self._context), 0, sequence, 0, tokens)

    def clear(self) -> None:
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), True)

    def work(self) -> tuple[int, int]:
        return 0, 0


@dataclass(frozen=True, slots=True)
class Measured:
    """A step (decode) or a prompt (prefill), with the bytes of matrices and the operations that it took,
    which only our engine counts: of a mixture, those of the experts that were used."""

    seconds: float
    weight_bytes: float
    operations: float


def measure(runner: Runner, scenario: str, rng: np.random.Generator) -> Measured:
    kind, size_text = scenario.split("-")
    size = int(size_text)
    runner.clear()

    def tokens(count: int) -> list[int]:
        return [int(t) for t in rng.integers(10, runner.vocab_size - 1000, count)]

    def timed(steps: list[list[tuple[int, list[int], int]]]) -> Measured:
        before, start = runner.work(), time.perf_counter()
        for rows in steps:
            runner.run(rows)
        seconds, after = time.perf_counter() - start, runner.work()
        counts = ((b - a) / len(steps) for a, b in zip(before, after, strict=True))
        return Measured(seconds / len(steps), *counts)

    if kind == "prefill":
        return timed([[(0, tokens(size), 0)]])
    before = PREFIX if kind == "shared" else PROMPT
    for sequence in range(size):
        if kind == "shared" and sequence > 0:
            runner.fork(sequence, PREFIX)
        else:
            runner.run([(sequence, tokens(before), 0)])
    steps = range(before, before + SCENARIOS[scenario])
    return timed([[(sequence, tokens(1), at) for sequence in range(size)] for at in steps])


def report(scenario: str, ours: list[Measured], theirs: list[Measured], bandwidth: float) -> str:
    size, step = int(scenario.split("-")[1]), statistics.median(one.seconds for one in ours)
    read = statistics.median(one.weight_bytes for one in ours) / step / 1e9
    gops = statistics.median(one.operations for one in ours) / step / 1e9
    share = f"({100 * read / bandwidth:3.0f} %)"
    line = f"  {scenario:13} {size / step:9.1f} tok/s  {read:6.1f} GB/s {share}  {gops:7.1f} GOPS"
    if not theirs:
        return line
    ratios = sorted(b.seconds / a.seconds for a, b in zip(ours, theirs, strict=True))
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    other = size / statistics.median(one.seconds for one in theirs)
    return f"{line}   llama.cpp {other:8.1f} tok/s   {middle:5.2f} x ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default=",".join(SCENARIOS))
    parser.add_argument("--no-llamacpp", action="store_true")
    parser.add_argument("--short", action="store_true", help="one round, without prefill-2000")
    args = parser.parse_args()
    if args.short:
        args.rounds, args.only = 1, ",".join(name for name in SCENARIOS if name != "prefill-2000")
    for path in args.models:
        start = time.perf_counter()
        engine = Ours(path, args.threads)
        print(f"{path}: loaded in {time.perf_counter() - start:.2f} s")
        bandwidth, rng = engine.bandwidth(), np.random.default_rng(0)
        runners: list[Runner] = [engine] if args.no_llamacpp else [engine, Llama(path, args.threads)]
        for scenario in args.only.split(","):
            times: list[list[Measured]] = [[], []]
            for _ in range(args.rounds):
                for i, runner in enumerate(runners):
                    times[i].append(measure(runner, scenario, rng))
            print(report(scenario, times[0], times[1], bandwidth), flush=True)


if __name__ == "__main__":
    main()

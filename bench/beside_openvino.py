"""Myna compared with OpenVINO GenAI in separate processes without HTTP, alternating (A B A B), on one file.

    python bench/beside_openvino.py model.gguf --openvino-python /path/to/python --pairs 7 --out report.json

Prompts and answers of 128 tokens, greedy, ignoring end of text. The result is the number of generated tokens
divided by the time from the first prompt to the end of the last answer; prompts differ, so that no cache
helps. OpenVINO GenAI is installed separately (pip install openvino-genai), since it needs 200 MB.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

PROMPT_TOKENS, ANSWER_TOKENS = 128, 128
STREAMS = (1, 8, 32)
WORDS = ["time", "year", "people", "way", "day", "man", "life", "child", "world", "school", "state", "group"]


def prompts(count: int, seed: int) -> list[str]:
    """Texts of about 128 tokens, made of words with one token each."""
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) for _ in range(PROMPT_TOKENS)) for _ in range(count)]


def run_openvino(model: str, threads: int) -> None:
    """For each input line `streams seed`, prints the generated tokens and seconds. Independent of Myna."""
    import openvino_genai as genai

    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 4
    scheduler.dynamic_split_fuse = True
    scheduler.max_num_seqs = max(STREAMS)
    scheduler.enable_prefix_caching = False
    pipeline = genai.ContinuousBatchingPipeline(model, scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads})
    config = genai.GenerationConfig()
    config.max_new_tokens = config.min_new_tokens = ANSWER_TOKENS
    config.ignore_eos = True
    config.do_sample = False
    config.apply_chat_template = False

    def answer(count: int, seed: int) -> int:
        results = pipeline.generate(prompts(count, seed), [config] * count)
        assert len(results) == count
        return count * ANSWER_TOKENS

    serve(answer)


def run_myna(model: str, threads: int) -> None:
    """The same for our scheduler and engine, in this process."""
    from myna.core.requests import GenerationRequest, Sampling
    from myna.prompts.renderer import GgufRenderer
    from myna.scheduling.in_process import InProcessGenerator
    from myna.workers.frames import WorkerSpec
    from myna.workers.loading import load_model

    prompting = GgufRenderer.load(model)
    loop = asyncio.new_event_loop()
    service = InProcessGenerator(lambda: load_model(WorkerSpec("native", model, 0, 4 << 30, threads)))
    loop.run_until_complete(service.start())

    async def one(text: str, number: int) -> int:
        request = GenerationRequest(
            f"b{number}",
            tuple(prompting.encode(text, parse_special=False)),
            ANSWER_TOKENS,
            sampling=Sampling(temperature=0.0),
            ignore_eos=True,
            is_collected=True,
        )
        async for _ in await service.generate(request):
            pass
        return ANSWER_TOKENS

    async def all_of(count: int, seed: int) -> int:
        texts = prompts(count, seed)
        return sum(await asyncio.gather(*(one(text, number) for number, text in enumerate(texts))))

    serve(lambda count, seed: loop.run_until_complete(all_of(count, seed)))
    loop.run_until_complete(service.aclose())


def serve(answer: "object") -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        count, seed = map(int, line.split())
        start = time.perf_counter()
        tokens = answer(count, seed)  # type: ignore[operator]
        print(json.dumps([tokens, time.perf_counter() - start]), flush=True)


class Child:
    """One of the two programs, loaded and waiting."""

    def __init__(self, python: str, which: str, args: argparse.Namespace) -> None:
        command = [python, __file__, args.model, "--child", which, "--threads", str(args.threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line("ready")

    def tokens_per_second(self, count: int, seed: int) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count} {seed}\n")
        self._process.stdin.flush()
        tokens, seconds = json.loads(self._line("["))
        return float(tokens) / float(seconds)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _line(self, start: str) -> str:
        """The next line with that prefix; libraries print other lines as well."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(start):
                return line
        raise SystemExit("a program ended early")


def compare(args: argparse.Namespace) -> list[dict[str, object]]:
    ours, theirs = Child(sys.executable, "myna", args), Child(args.openvino_python, "openvino", args)
    report: list[dict[str, object]] = []
    for count in args.streams:
        ours.tokens_per_second(count, 0)
        theirs.tokens_per_second(count, 0)
        pairs = [
            (ours.tokens_per_second(count, seed), theirs.tokens_per_second(count, seed))
            for seed in range(1, args.pairs + 1)
        ]
        ratios = [a / b for a, b in pairs]
        quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        report.append(
            {
                "streams": count,
                "pairs": len(pairs),
                "ratio_median": round(statistics.median(ratios), 3),
                "ratio_iqr": [round(quartiles[0], 3), round(quartiles[2], 3)],
                "myna_median": round(statistics.median(a for a, _ in pairs), 1),
                "openvino_median": round(statistics.median(b for _, b in pairs), 1),
            }
        )
        print(json.dumps(report[-1]), flush=True)
    ours.close()
    theirs.close()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--openvino-python", default=sys.executable)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--streams", type=int, nargs="+", default=list(STREAMS))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", choices=["myna", "openvino"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        {"myna": run_myna, "openvino": run_openvino}[args.child](args.model, args.threads)
        return
    report = compare(args)
    if args.out:
        args.out.write_text(json.dumps({"model": Path(args.model).name, "runs": report}, indent=1) + "\n")


if __name__ == "__main__":
    main()

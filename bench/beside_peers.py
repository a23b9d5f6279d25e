"""Myna compared with OpenVINO GenAI or mistral.rs in separate processes without HTTP, in turn, on one file.

    python bench/beside_peers.py model.gguf --peer openvino --peer-python /path/to/python --text book.txt \\
        --pairs 7 --out report.json

1, 8 and 32 prompts of about 128 tokens at once with answers of 128 tokens, and one prompt of about 2,000
tokens with an answer of one token. The temperature is 0.8, since greedy answers soon repeat themselves, which
flatters guessing; the end of a text is ignored. Prompts are pieces of the text that begin differently, so
that no cache helps. The result is the number of generated tokens (of tokens of the prompt, for the long one)
divided by the time from the first prompt to the end of the last answer. The peers are installed separately
(pip install openvino-genai, pip install mistralrs), each in an environment of its own.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from loadtest import Texts

ANSWER_TOKENS = 128
TEMPERATURE = 0.8
SCENARIOS = {"1": (1, 128), "8": (8, 128), "32": (32, 128), "prompt": (1, 2000)}  # prompts and their tokens

Answer = Callable[[list[str], int], int]
"""Answers each prompt with that many tokens; returns the number of tokens of all prompts."""


def openvino(model: str, threads: int) -> Answer:
    import openvino_genai as genai

    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 4
    scheduler.dynamic_split_fuse = True
    scheduler.max_num_seqs = 32
    scheduler.enable_prefix_caching = False
    pipeline = genai.ContinuousBatchingPipeline(model, scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads})
    tokenizer = pipeline.get_tokenizer()
    config = genai.GenerationConfig()
    config.ignore_eos = True
    config.do_sample = True
    config.temperature = TEMPERATURE
    config.top_k = 0  # all tokens
    config.apply_chat_template = False

    def answer(prompts: list[str], num_tokens: int) -> int:
        config.max_new_tokens = config.min_new_tokens = num_tokens
        pipeline.generate(prompts, [config] * len(prompts))
        return sum(tokenizer.encode(prompt).input_ids.shape[1] for prompt in prompts)

    return answer


def mistralrs(model: str, threads: int) -> Answer:
    """It uses as many threads as there are cores, and its Python interface takes one request at a time."""
    from mistralrs import CompletionRequest, Runner, Which

    file = Path(model)
    which = Which.GGUF(quantized_model_id=str(file.parent), quantized_filename=file.name)
    runner = Runner(which=which, max_seqs=32, prefix_cache_n=0)

    def answer(prompts: list[str], num_tokens: int) -> int:
        (prompt,) = prompts
        request = CompletionRequest(
            prompt=prompt, model="default", max_tokens=num_tokens, temperature=TEMPERATURE, ignore_eos=True
        )
        usage = runner.send_completion_request(request).usage
        assert usage.completion_tokens == num_tokens
        return int(usage.prompt_tokens)

    return answer


def myna(model: str, threads: int) -> Answer:
    """Our scheduler and engine, in this process."""
    from myna.core.requests import GenerationRequest, Sampling
    from myna.prompts.renderer import GgufRenderer
    from myna.scheduling.in_process import InProcessGenerator
    from myna.workers.frames import WorkerSpec
    from myna.workers.loading import load_model

    prompting = GgufRenderer.load(model)
    loop = asyncio.new_event_loop()
    service = InProcessGenerator(lambda: load_model(WorkerSpec("native", model, 0, 4 << 30, threads)))
    loop.run_until_complete(service.start())

    async def one(text: str, number: int, num_tokens: int) -> int:
        prompt = tuple(prompting.encode(text, parse_special=False))
        request = GenerationRequest(
            f"b{number}",
            prompt,
            num_tokens,
            sampling=Sampling(temperature=TEMPERATURE),
            ignore_eos=True,
            is_collected=True,
        )
        async for _ in await service.generate(request):
            pass
        return len(prompt)

    async def all_of(prompts: list[str], num_tokens: int) -> int:
        return sum(await asyncio.gather(*(one(text, i, num_tokens) for i, text in enumerate(prompts))))

    return lambda prompts, num_tokens: loop.run_until_complete(all_of(prompts, num_tokens))


PROGRAMS = {"myna": myna, "openvino": openvino, "mistralrs": mistralrs}


def serve(answer: Answer) -> None:
    """For each line (prompts, tokens to answer), print the prompts' tokens and the seconds."""
    print("ready", flush=True)
    for line in sys.stdin:
        prompts, num_tokens = json.loads(line)
        start = time.perf_counter()
        prompt_tokens = answer(prompts, num_tokens)
        print(json.dumps([prompt_tokens, time.perf_counter() - start]), flush=True)


class Child:
    """One of the programs, loaded and waiting."""

    def __init__(self, python: str, which: str, args: argparse.Namespace) -> None:
        command = [python, __file__, args.model, "--child", which, "--threads", str(args.threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line("ready")

    def tokens_per_second(self, name: str, prompts: list[str]) -> float:
        is_prompt = name == "prompt"
        num_tokens = 1 if is_prompt else ANSWER_TOKENS
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([prompts, num_tokens]) + "\n")
        self._process.stdin.flush()
        prompt_tokens, seconds = json.loads(self._line("["))
        return float((prompt_tokens if is_prompt else len(prompts) * num_tokens) / seconds)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _line(self, start: str) -> str:
        """The next line with that prefix; libraries print other lines as well."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(start):
                return line
        raise SystemExit("a program ended early")


def compare(args: argparse.Namespace) -> list[dict[str, object]]:
    texts = Texts(args.seed, args.text.read_text())
    ours, theirs = Child(sys.executable, "myna", args), Child(args.peer_python, args.peer, args)
    report: list[dict[str, object]] = []
    for name in args.scenarios:
        count, prompt_tokens = SCENARIOS[name]
        pairs = []
        for _ in range(args.pairs + 1):  # the first warms both up
            prompts = [texts.fresh(prompt_tokens) for _ in range(count)]
            pairs.append((ours.tokens_per_second(name, prompts), theirs.tokens_per_second(name, prompts)))
        ratios = [a / b for a, b in pairs[1:]]
        quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        report.append(
            {
                "scenario": name,
                "pairs": len(ratios),
                "ratio_median": round(statistics.median(ratios), 3),
                "ratio_iqr": [round(quartiles[0], 3), round(quartiles[2], 3)],
                "myna_median": round(statistics.median(a for a, _ in pairs[1:]), 1),
                f"{args.peer}_median": round(statistics.median(b for _, b in pairs[1:]), 1),
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
    parser.add_argument("--peer", choices=["openvino", "mistralrs"], default="openvino")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--text", type=Path, help="a text file whose pieces are the prompts")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--scenarios",
        choices=list(SCENARIOS),
        nargs="+",
        default=list(SCENARIOS),
        help="default: all; mistralrs can do 1 and prompt",
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", choices=list(PROGRAMS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        serve(PROGRAMS[args.child](args.model, args.threads))
        return
    if args.text is None:
        parser.error("--text is needed: a text file of some hundred kilobytes")
    report = compare(args)
    if args.out:
        args.out.write_text(json.dumps({"model": Path(args.model).name, "runs": report}, indent=1) + "\n")


if __name__ == "__main__":
    main()

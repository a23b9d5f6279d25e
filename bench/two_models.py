"""Two models at the same time compared with one after the other, over HTTP, on one server.

In each round both models work one after the other and then together, or the other way round. The result is
the median over the rounds of

    (seconds of the first alone + seconds of the second alone) / seconds of both together

so other load on the machine affects both sides of the ratio and widens the quartiles. 1.0 is the best
possible if one model keeps all cores busy; the step lock should keep it above 0.9. `cpu_ratio` is the same
for the processor time of the two models' processes: it shows the work wasted by running together, but not the
cost of waiting. The amount of work per model is calibrated first, so that each takes about `--seconds` alone.

    python bench/two_models.py smollm2-135m-instruct qwen2.5-coder-0.5b-instruct --rounds 9 --streams 1 8
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil
from compare import BANNED, KEY, answers, free_port, processor
from loadtest import WORDS

_PROMPT_WORDS = 60


@dataclass(frozen=True, slots=True)
class Load:
    """A number of concurrent streams on one model, each with the given number of tokens."""

    model: str
    num_streams: int
    num_tokens: int


def stream(port: int, load: Load, prompt: str) -> int:
    """One streamed answer of full length; returns its number of events. Raises RuntimeError on an error."""
    banned = next((ids for family, ids in BANNED.items() if family in load.model), "")
    body = {
        "model": load.model,
        "prompt": prompt,
        "max_tokens": load.num_tokens,
        "temperature": 0,
        "stream": True,
        "logit_bias": {token: -100 for token in banned.split(",") if token},
    }
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    connection = HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
        if response.status != 200 or b'"error"' in text or not text.endswith(b"[DONE]\n\n"):
            raise RuntimeError(f"{load.model}: {response.status} {text[-300:]!r}")
        return text.count(b"data: ")
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, with the processor times of its workers."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """Processor time of the processes of all models."""
        times = [child.cpu_times() for child in self.process.children()]
        return float(sum(each.user + each.system for each in times))


def run(server: Server, *loads: Load) -> tuple[float, float]:
    """Wall time and the models' processor time, in seconds, until all streams of all loads have ended.
    Prompts are new each time, so nothing is cached."""
    work = [
        (load, " ".join(random.choices(WORDS, k=_PROMPT_WORDS)))
        for load in loads
        for _ in range(load.num_streams)
    ]
    with ThreadPoolExecutor(len(work)) as pool:
        started, cpu = time.perf_counter(), server.cpu_s()
        for done in [pool.submit(stream, server.port, load, prompt) for load, prompt in work]:
            done.result()
        return time.perf_counter() - started, server.cpu_s() - cpu


def sized(server: Server, model: str, num_streams: int, seconds: float) -> Load:
    """The number of tokens that the model generates in that time."""
    probe = Load(model, num_streams, 48)
    run(server, probe)
    took_s = min(run(server, probe)[0] for _ in range(3))
    return Load(model, num_streams, min(2000, max(32, round(probe.num_tokens * seconds / took_s))))


def one_round(server: Server, first: Load, second: Load, *, together_first: bool) -> dict[str, float]:
    order = (
        [(first, second), (first,), (second,)] if together_first else [(first,), (second,), (first, second)]
    )
    took = {loads: run(server, *loads) for loads in order}
    (a, a_cpu), (b, b_cpu), (both, both_cpu) = took[(first,)], took[(second,)], took[(first, second)]
    return {
        "first_s": a,
        "second_s": b,
        "together_s": both,
        "ratio": (a + b) / both,
        "cpu_ratio": (a_cpu + b_cpu) / both_cpu,
    }


def measure(server: Server, args: argparse.Namespace, num_streams: int) -> dict[str, object]:
    first, second = (sized(server, model, num_streams, args.seconds) for model in args.model)
    rounds = []
    for number in range(args.rounds):
        rounds.append(one_round(server, first, second, together_first=number % 2 == 1))
        print(
            json.dumps({key: round(value, 3) for key, value in rounds[-1].items()}),
            file=sys.stderr,
            flush=True,
        )
    ratios = [each["ratio"] for each in rounds]
    cpu_ratios = [each["cpu_ratio"] for each in rounds]
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    line = {
        "streams_each": num_streams,
        "tokens_each": [first.num_tokens, second.num_tokens],
        "rounds": len(rounds),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_iqr": [round(quartiles[0], 3), round(quartiles[2], 3)],
        "cpu_ratio_median": round(statistics.median(cpu_ratios), 3),
    }
    print(json.dumps(line), flush=True)
    return line | {"runs": rounds}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs=2, help="ids of two models on this machine")
    parser.add_argument("--streams", type=int, nargs="+", default=[1], help="concurrent streams per model")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    port = free_port()
    command = [sys.executable, "-m", "myna.cli", "serve", args.model[0], "--port", str(port)]
    process = subprocess.Popen(command, env=os.environ | {"MYNA_API_KEY": KEY}, stdout=subprocess.DEVNULL)
    try:
        while not answers(f"http://127.0.0.1:{port}/ready"):
            if process.poll() is not None:
                sys.exit("the server did not start")
            time.sleep(0.2)
        server = Server(port, psutil.Process(process.pid))
        lines = [measure(server, args, num_streams) for num_streams in args.streams]
    finally:
        process.terminate()
        process.wait(timeout=60)
    if args.out:
        load = {"load_average": round(os.getloadavg()[2], 1)}
        report = {"models": args.model, "processor": processor(), **load, "summary": lines}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Check that a batch answers each line exactly once despite killed workers and servers, and what it costs.

First part: a batch of many lines runs on the fake engine. At even intervals of its progress, the model's
worker or the whole server gets SIGKILL; the server is restarted in the same folder. At the end, output and
error file together must have each custom_id once, with the answer that the engine gives to that line, and the
ledger one row for each line, with the tokens of that answer.

Second part: interactive requests, one after the other, without a batch and during one, in turns. The quotient
of the medians of each pair is the cost.

    PYTHONPATH=src:. python bench/batches.py --lines 10000 --kills 6 --pairs 8 --out batches.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openai
import psutil
from bench import crash_ledger
from bench.crash_ledger import KEY

CHAT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")


class Server(crash_ledger.Server):
    def kill_worker(self) -> None:
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if "myna.workers.main" in " ".join(child.cmdline()):
                child.kill()


def client_of(port: int) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0, timeout=60)


def patiently(work: Any) -> Any:
    """The result of the call, which is repeated while the server is down."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return work()
        except (openai.APIConnectionError, openai.InternalServerError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def input_line(number: int, num_words: int) -> bytes:
    """Every 50th line is refused, so that there is an error file, too."""
    text = f"[[say {' '.join(['caw'] * num_words)} {number}]]"
    body: dict[str, object] = {"model": "fake", "messages": [{"role": "user", "content": text}]}
    body |= {"temperature": 0} if number % 50 else {"temperature": 9}
    line = {"custom_id": f"line-{number}", "method": "POST", "url": CHAT, "body": body}
    return json.dumps(line).encode() + b"\n"


def create(client: openai.OpenAI, num_lines: int, num_words: int = 8) -> str:
    data = b"".join(input_line(number, num_words) for number in range(num_lines))
    file = patiently(lambda: client.files.create(file=("lines.jsonl", data), purpose="batch"))
    batch = patiently(
        lambda: client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    )
    return str(batch.id)


def run_with_kills(server: Server, num_lines: int, num_kills: int) -> dict[str, object]:
    client = client_of(server.port)
    batch_id = create(client, num_lines)
    began, kills = time.monotonic(), list[str]()
    while True:
        batch = patiently(lambda: client.batches.retrieve(batch_id))
        num_done = batch.request_counts.completed + batch.request_counts.failed
        if batch.status in ENDED:
            break
        if len(kills) < num_kills and num_done >= num_lines * (len(kills) + 1) / (num_kills + 1):
            kills.append("worker" if len(kills) % 2 else "server")
            if kills[-1] == "worker":
                server.kill_worker()
            else:
                server.kill()
                server.start()
                # A worker that is killed while the model loads ends the server, which says so.
                asyncio.run(server.wait_until_ready())
        time.sleep(0.2)
    seconds = time.monotonic() - began
    return {
        "lines": num_lines,
        "kills": kills,
        "status": batch.status,
        "seconds": round(seconds, 1),
        **check(client, batch, num_lines, server.home),
    }


def check(client: openai.OpenAI, batch: Any, num_lines: int, home: Path) -> dict[str, object]:
    """What the files and the ledger have, compared with what they should have."""
    seen, num_wrong, tokens = Counter[str](), 0, dict[str, int]()
    for file_id, is_good in ((batch.output_file_id, True), (batch.error_file_id, False)):
        for text in client.files.content(file_id).text.splitlines():
            line = json.loads(text)
            seen[line["custom_id"]] += 1
            number = int(line["custom_id"].removeprefix("line-"))
            response = line["response"]
            used = response["body"].get("usage", {}).get("completion_tokens", 0)
            tokens[f"req_{response['request_id']}"] = used
            if is_good:
                answer = response["body"]["choices"][0]["message"]["content"]
                num_wrong += not number % 50 or not answer.strip().endswith(str(number))
            else:
                num_wrong += bool(number % 50) or response["status_code"] != 400
    return {
        "missing": num_lines - len(seen),
        "twice": sum(count > 1 for count in seen.values()),
        "wrong": num_wrong,
        "charged_wrongly": num_charged_wrongly(home, tokens),
        "counts": batch.request_counts.model_dump(),
    }


def num_charged_wrongly(home: Path, tokens: dict[str, int]) -> int:
    """The rows of the ledger that are missing, too many, or of other counts; it is written with a delay."""
    for _ in range(100):
        rows = {row_id: count for row_id, count, _ in crash_ledger.rows_of(home)}
        num_wrong = sum(rows.get(row_id) != tokens.get(row_id) for row_id in rows.keys() | tokens)
        if not num_wrong:
            break
        time.sleep(0.1)
    return num_wrong


def measure_cost(server: Server, num_pairs: int, per_side: int = 10) -> dict[str, object]:
    """The seconds of an interactive request during a batch and without one, in alternating pairs."""
    client = client_of(server.port)
    beside, alone = list[float](), list[float]()
    for _ in range(num_pairs):
        alone.append(statistics.median(interactive(client) for _ in range(per_side)))
        batch_id = create(client, 20_000, 64)
        wait_until(client, batch_id, lambda batch: batch.request_counts.completed >= 32)
        beside.append(statistics.median(interactive(client) for _ in range(per_side)))
        client.batches.cancel(batch_id)
        wait_until(client, batch_id, lambda batch: batch.status in ENDED)
    quotients = sorted(one / other for one, other in zip(beside, alone, strict=True))
    return {
        "pairs": num_pairs,
        "alone_ms": round(statistics.median(alone) * 1000, 1),
        "beside_ms": round(statistics.median(beside) * 1000, 1),
        "quotient": round(statistics.median(quotients), 3),
        "quotients": [round(one, 3) for one in quotients],
    }


def wait_until(client: openai.OpenAI, batch_id: str, holds: Callable[[Any], bool]) -> None:
    while not holds(patiently(lambda: client.batches.retrieve(batch_id))):
        time.sleep(0.2)


def interactive(client: openai.OpenAI) -> float:
    began = time.perf_counter()
    client.chat.completions.create(
        model="fake",
        messages=[{"role": "user", "content": f"[[say {' '.join(['bird'] * 200)}]]"}],
        temperature=0,
    )
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--port", type=int, default=18437)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory() as home:
        server = Server(Path(home), options.port)
        server.start()
        try:
            patiently(lambda: client_of(options.port).models.list())
            report = {"load": os.getloadavg(), "exact": run_with_kills(server, options.lines, options.kills)}
            print(json.dumps(report, indent=1), flush=True)
            report["latency"] = measure_cost(server, options.pairs) if options.pairs else None
            print(json.dumps(report["latency"], indent=1))
        finally:
            server.stop()
            print((Path(home) / "log").read_text()[-4000:])
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    exact: Any = report["exact"]
    return 1 if any(exact[fault] for fault in ("missing", "twice", "wrong", "charged_wrongly")) else 0


if __name__ == "__main__":
    sys.exit(main())

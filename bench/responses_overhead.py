"""What the Responses API costs compared with chat completions: events per second, and time of a whole answer.

One server with the fake engine; the two endpoints take turns in pairs, so that other load affects both.
Processor time of the server is reported as well, since other processes don't affect it.

    PYTHONPATH=src:. python bench/responses_overhead.py --pairs 5 --out bench/reports/responses_overhead.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.overhead import KEY, LOAD_CORE, SERVER_CORE, cpu_s, events_per_s, free_port, pin, request, started

NUM_WORDS = 300
STREAMED = f"[[say{' a bird sings' * (NUM_WORDS // 3)}]]"
WHOLE = "[[say bird bird bird bird]]"
ENDPOINTS = ("chat/completions", "chat/completions, store", "responses", "responses, store")


def asked(endpoint: str, text: str, *, is_stream: bool) -> bytes:
    """The same request to either endpoint."""
    path, _, store = endpoint.partition(", ")
    shared = {"model": "fake", "temperature": 0, "stream": is_stream, "store": bool(store)}
    if path == "responses":
        return request(path, shared | {"input": text, "max_output_tokens": 2000})
    message = {"role": "user", "content": text}
    options = {"stream_options": {"include_obfuscation": False}} if is_stream else {}
    return request(path, shared | options | {"messages": [message], "max_completion_tokens": 2000})


async def answer_times(port: int, num: int) -> dict[str, list[float]]:
    """Milliseconds of whole answers, one after another, taking turns on one connection."""
    bodies = {
        name: asked(name, WHOLE, is_stream=False).replace(b"Connection: close\r\n", b"") for name in ENDPOINTS
    }
    times: dict[str, list[float]] = {name: [] for name in ENDPOINTS}
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(num):
        for name, body in bodies.items():
            begun = time.perf_counter()
            writer.write(body)
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"content-length: (\d+)", head)
            assert found is not None, head
            await reader.readexactly(int(found[1]))
            times[name].append((time.perf_counter() - begun) * 1000)
    writer.close()
    return times


def stream_rates(port: int, pid: int, pairs: int) -> dict[str, dict[str, list[float]]]:
    """Events per second of wall time, and events per second of the server's processor time."""
    rates: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in ENDPOINTS}
    for _ in range(pairs):
        for name in ENDPOINTS:
            before_s, begun = cpu_s(pid), time.perf_counter()
            rate = events_per_s(port, asked(name, STREAMED, is_stream=True))
            num_events = rate * (time.perf_counter() - begun)
            rates[name]["wall"].append(rate)
            rates[name]["cpu"].append(num_events / (cpu_s(pid) - before_s))
    return rates


def chat_of(name: str) -> str:
    """The row of chat completions that does the same."""
    return name.replace("responses", "chat/completions")


def ratio(these: list[float], those: list[float]) -> float:
    """The median of the ratios of pairs."""
    return round(statistics.median(a / b for a, b in zip(these, those, strict=True)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--answers", type=int, default=400)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    port = free_port()
    os.sched_setaffinity(0, {LOAD_CORE})
    command = [sys.executable, "-m", "myna.cli", "serve", "--engine", "fake", "--port", str(port)]
    with (
        TemporaryDirectory() as home,
        started(command, port, MYNA_HOME=home, MYNA_API_KEY=KEY, MYNA_LOG_LEVEL="warning") as server,
    ):
        pin(server.pid, SERVER_CORE)
        rates = stream_rates(port, server.pid, options.pairs)
        times = asyncio.run(answer_times(port, options.answers))
    others = ENDPOINTS[2:]
    report: dict[str, object] = {
        "events_per_s": {
            name: {kind: round(statistics.median(found)) for kind, found in rates[name].items()}
            for name in ENDPOINTS
        },
        "ratio_to_chat": {
            name: {kind: ratio(rates[name][kind], rates[chat_of(name)][kind]) for kind in ("wall", "cpu")}
            for name in others
        },
        "whole_answer_ms": {name: round(statistics.median(times[name]), 3) for name in ENDPOINTS},
        "added_ms": {
            name: round(
                statistics.median(a - b for a, b in zip(times[name], times[chat_of(name)], strict=True)),
                3,
            )
            for name in others
        },
        "load": round(os.getloadavg()[0], 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    text = json.dumps(report, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What the HTTP side costs: server-sent events per second on one core, and time added to an answer.

The fake engine generates tokens as fast as they are requested, so the server's own work is measured: frames
from the worker, rendering, HTTP. The server process is pinned to one core, the worker and the load generator
to another. A bare uvicorn application that sends the same bytes is measured alternately with it, in pairs.

    python bench/overhead.py --pairs 5 --out bench/reports/overhead.json
    python bench/overhead.py --short        # half a minute

After a change to this path, the ratios may be at most 2 % below, and the added time 2 % above, those of the
commit before, run alternately on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

KEY = "sk-bench-0123456789abcdef"
SERVER_CORE, LOAD_CORE = 0, 1
STREAMS, TOKENS = 64, 1500
CHUNK = (
    b'data: {"id":"cmpl-0123456789abcdefghijABCDEFGHI","object":"text_completion","created":1790000000,'
    b'"choices":[{"text":" bird","index":0,"logprobs":null,"finish_reason":null}],"model":"fake"}\n\n'
)


async def bare_app(scope, receive, send):  # type: ignore[no-untyped-def]
    """The minimum that can send such a stream: one write per event, with a turn of the loop in between."""
    if scope["type"] == "lifespan":
        while (report := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{report['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(TOKENS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pin(pid: int, core: int) -> None:
    """Pin every thread of the process to that core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def cpu_s(pid: int) -> float:
    """Processor time of that process; unlike wall time, it is not affected by other processes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def started(command: list[str], port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
    ) as process:
        try:
            while process.poll() is None and not answers(port):
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as probe:
        probe.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b" 200 " in probe.recv(100)
    return False


def request(path: str, body: dict[str, object]) -> bytes:
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {KEY}\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def stream_request(path: str) -> bytes:
    body = {"model": "fake", "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True, "stream": True}
    if path == "completions":
        return request(path, body | {"prompt": "a bird"})
    return request(path, body | {"messages": [{"role": "user", "content": "a bird"}]})


def events_per_s(port: int, body: bytes) -> float:
    """All streams concurrently, from the first byte to the last; counts complete data lines."""
    selector = selectors.DefaultSelector()
    for _ in range(STREAMS):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(body)
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
    num_events, begun = 0, 0.0
    while selector.get_map():
        for key, _ in selector.select():
            connection = key.fileobj  # type: ignore[assignment]
            data = connection.recv(1 << 18)
            begun = begun or time.perf_counter()
            num_events += data.count(b"data: {")
            if not data:
                selector.unregister(connection)
                connection.close()
    return num_events / (time.perf_counter() - begun)


async def direct_ms(num: int) -> list[float]:
    """The same answers from the generator directly, through a separate worker."""
    from myna.core.requests import GenerationRequest, Sampling
    from myna.workers.client import WorkerClient
    from myna.workers.frames import WorkerSpec

    generator = WorkerClient(WorkerSpec("fake", "fake"))
    await generator.start()
    prompt = tuple(await generator.tokenize("[[say bird bird bird bird]]", parse_special=True))
    times = []
    for number in range(num):
        begun = time.perf_counter()
        wanted = GenerationRequest(str(number), prompt, 8, sampling=Sampling(temperature=0))
        async for _ in await generator.generate(wanted):
            pass
        times.append((time.perf_counter() - begun) * 1000)
    await generator.aclose()
    return times


async def over_http_ms(port: int, num: int) -> list[float]:
    """Non-streaming answers, one after another, on one connection."""
    body = {"model": "fake", "prompt": "[[say bird bird bird bird]]", "max_tokens": 8, "temperature": 0}
    data = request("completions", body).replace(b"Connection: close\r\n", b"")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    for _ in range(num):
        begun = time.perf_counter()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head)
        assert found is not None, head
        await reader.readexactly(int(found[1]))
        times.append((time.perf_counter() - begun) * 1000)
    writer.close()
    return times


def throughput(pairs: int, ports: dict[str, int], path: str) -> dict[str, object]:
    rates: dict[str, list[float]] = {name: [] for name in ports}
    body = stream_request(path)
    for _ in range(pairs):
        for name, port in ports.items():
            rates[name].append(events_per_s(port, body))
    ratios = [mine / bare for mine, bare in zip(rates["myna"], rates["bare"], strict=True)]
    return {
        "events_per_s": {name: [round(rate) for rate in found] for name, found in rates.items()},
        "median_ratio": round(statistics.median(ratios), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--answers", type=int, default=500)
    parser.add_argument("--short", action="store_true", help="--pairs 2 --answers 200")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.short:
        options.pairs, options.answers = 2, 200
    ports = {"bare": free_port(), "myna": free_port()}
    os.sched_setaffinity(0, {LOAD_CORE})
    myna = [sys.executable, "-m", "myna.cli", "serve", "--engine", "fake", "--port", str(ports["myna"])]
    bare = [sys.executable, "-m", "uvicorn", "bench.overhead:bare_app", "--port", str(ports["bare"])]
    bare += ["--no-access-log", "--log-level", "error", "--loop", "uvloop", "--http", "httptools"]
    with (
        TemporaryDirectory() as home,
        started(myna, ports["myna"], MYNA_HOME=home, MYNA_API_KEY=KEY, MYNA_LOG_LEVEL="warning") as server,
        started(bare, ports["bare"]) as plain,
    ):
        for process in (server, plain):
            pin(process.pid, SERVER_CORE)
        report: dict[str, object] = {
            path: throughput(options.pairs, ports, path) for path in ("completions", "chat/completions")
        }
        before_s = cpu_s(server.pid)
        http = asyncio.run(over_http_ms(ports["myna"], options.answers))
        server_cpu_ms = (cpu_s(server.pid) - before_s) / options.answers * 1000
        direct = asyncio.run(direct_ms(options.answers))
    report["whole_answer_ms"] = {
        "over_http": round(statistics.median(http), 3),
        "direct": round(statistics.median(direct), 3),
        "added": round(statistics.median(http) - statistics.median(direct), 3),
        "server_cpu": round(server_cpu_ms, 3),
    }
    report["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    text = json.dumps(report, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

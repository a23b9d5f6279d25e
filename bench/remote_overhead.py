"""What relaying a request adds to calling the upstream directly: time to first byte, events per second, and
processor time.

Two upstreams, each in a separate process: another Myna with the fake engine, and a bare server. Both send as
fast as possible, on processor cores that the relay and the client share, so those ratios are bounded by the
processor time of all of them: the part of the relay is reported. The bare server also sends 32 streams at the
pace of a model. Rounds alternate between direct and relayed, so that other load affects both.

The bare server sends each event of such a stream when it is due since the stream began, however late the one
before was, as a model does that has the cores to itself: what other processes take from it would otherwise
count as the relay's. The rate of a stream is that of its events after the first; how long the first ones of
32 requests at once take is reported apart from it.

    PYTHONPATH=src:. python bench/remote_overhead.py [--rounds 40] [--events 2000]
    PYTHONPATH=src:. python bench/remote_overhead.py --short        # about a minute

The exit code is 1 if a figure misses its bar.
"""

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from tests.e2e.server import KEY, serving

RAW_MODEL = "raw"
MAX_ADDED_MS, MIN_PACED_RATIO = 1.5, 0.97
PACED_STREAMS, PACED_EVENTS, PACE_S = 32, 100, 0.02
EVENT = json.dumps(
    {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": RAW_MODEL,
        "choices": [{"index": 0, "delta": {"content": " bird"}, "logprobs": None, "finish_reason": None}],
    },
    separators=(",", ":"),
).encode()


class Target(NamedTuple):
    url: str
    model: str


class Measured(NamedTuple):
    """`events_per_s` is the rate of the whole response, `paced_per_s` that of the events after the first."""

    first_ms: float
    events_per_s: float
    paced_per_s: float


def processor_s(pid: int) -> float:
    """The processor time that a process has used, with its children: a Myna's workers."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


async def raw_server(port: int) -> None:
    """Answers every POST with the number of events in its `n_events`, each in a separate chunk."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
            except asyncio.IncompleteReadError:
                writer.close()
                return
            length = head.partition(b"content-length: ")[2].partition(b"\r")[0]
            body = json.loads(await reader.readexactly(int(length))) if length else {}
            if head.startswith(b"get"):
                listing = b'{"data":[{"id":"raw"}]}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(listing) + listing)
                continue
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            event = b"data: " + EVENT + b"\n\n"
            chunk = b"%x\r\n%b\r\n" % (len(event), event)
            pace_s = float(body.get("metadata", {}).get("pace_s", 0))
            began = time.perf_counter()
            for index in range(int(body.get("max_tokens", 1))):
                writer.write(chunk)
                if pace_s:
                    await asyncio.sleep(began + (index + 1) * pace_s - time.perf_counter())
                elif index % 16 == 0:
                    await writer.drain()
            writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


@contextmanager
def raw_upstream() -> Iterator[tuple[str, int]]:
    """Its url and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--raw-server", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield f"http://127.0.0.1:{port}/v1", process.pid
        finally:
            process.kill()


class Client:
    """One persistent connection to a server; does as little work as possible, so as not to be measured."""

    def __init__(self, target: Target) -> None:
        host, port = target.url.removeprefix("http://").removesuffix("/v1").split(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._model = target.model

    def ask(self, num_events: int, pace_s: float = 0) -> Measured:
        message = f"[[say {'word ' * num_events}]]"
        body = json.dumps(
            {
                "model": self._model,
                "messages": [{"role": "user", "content": message if self._model != RAW_MODEL else "x"}],
                "max_tokens": num_events,
                "stream": True,
                "metadata": {"pace_s": str(pace_s)},
                "stream_options": {"include_usage": True, "include_obfuscation": False},
            }
        ).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        started = time.perf_counter()
        self._socket.sendall(head.encode() + body)
        received = self._receive()
        while b"data: {" not in received:
            received += self._receive()
        first, num_first = time.perf_counter(), received.count(b"data: {")
        last = first
        while not received.endswith(b"0\r\n\r\n"):
            part = self._receive()
            if b"data: {" in part:
                last = time.perf_counter()
            received += part
        took_s = time.perf_counter() - started
        num_events = received.count(b"data: {")
        paced_per_s = (num_events - num_first) / max(last - first, 1e-9)
        return Measured((first - started) * 1e3, num_events / took_s, paced_per_s)

    def _receive(self) -> bytearray:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        return bytearray(data)


def compare(
    name: str, direct: Target, relayed: Target, pids: tuple[int, int], rounds: int, num_events: int
) -> bool:
    """`pids` are those of the upstream and the relay."""
    clients = (Client(direct), Client(relayed))
    for client in clients:
        for _ in range(5):
            client.ask(8)
    firsts: tuple[list[float], list[float]] = ([], [])
    rates: tuple[list[float], list[float]] = ([], [])
    spent = [0.0, 0.0, 0.0]
    for _ in range(rounds):
        for side, client in enumerate(clients):
            firsts[side].append(client.ask(8).first_ms)
        rates[0].append(clients[0].ask(num_events).events_per_s)
        before = [*map(processor_s, pids), time.process_time()]
        rates[1].append(clients[1].ask(num_events).events_per_s)
        after = [*map(processor_s, pids), time.process_time()]
        spent = [total + end - start for total, start, end in zip(spent, before, after, strict=True)]
    first = [statistics.median(values) for values in firsts]
    rate = [statistics.median(values) for values in rates]
    added = statistics.median(b - a for a, b in zip(*firsts, strict=True))
    ratio = statistics.median(b / a for a, b in zip(*rates, strict=True))
    print(
        f"{name:12} first byte {first[0]:6.2f} -> {first[1]:6.2f} ms (+{added:.2f})   "
        f"events/s {rate[0]:9,.0f} -> {rate[1]:9,.0f} (x{ratio:.3f})   bar: +{MAX_ADDED_MS} ms",
        flush=True,
    )
    upstream, relay, client_us = (total / rounds / num_events * 1e6 for total in spent)
    print(
        f"{'':12} processor time per event: upstream {upstream:.1f} us, relay {relay:.1f} us "
        f"({relay / (upstream + relay + client_us):.0%} of all), client {client_us:.1f} us",
        flush=True,
    )
    return added < MAX_ADDED_MS


def compare_paced(direct: Target, relayed: Target, rounds: int) -> bool:
    """32 streams at once, each with 50 events per second."""
    ratios, rates, firsts = [], [], []
    with ThreadPoolExecutor(PACED_STREAMS) as threads:
        sides = [[Client(target) for _ in range(PACED_STREAMS)] for target in (direct, relayed)]
        for _ in range(rounds):
            rate, first = [], []
            for clients in sides:
                answers = list(threads.map(lambda client: client.ask(PACED_EVENTS, PACE_S), clients))
                rate.append(sum(answer.paced_per_s for answer in answers))
                first.append(statistics.median(answer.first_ms for answer in answers))
            ratios.append(rate[1] / rate[0])
            rates.append(rate)
            firsts.append(first)
    before, after = (statistics.median(side) for side in zip(*rates, strict=True))
    first_ms = [statistics.median(side) for side in zip(*firsts, strict=True)]
    ratio = statistics.median(ratios)
    print(
        f"32 paced     first byte {first_ms[0]:6.2f} -> {first_ms[1]:6.2f} ms, of all at once   "
        f"events/s {before:9,.0f} -> {after:9,.0f} (x{ratio:.3f})   bar: x{MIN_PACED_RATIO}",
        flush=True,
    )
    return ratio >= MIN_PACED_RATIO


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true", help="12 rounds of 1,000 events")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--raw-server", type=int)
    options = parser.parse_args()
    if options.raw_server:
        asyncio.run(raw_server(options.raw_server))
        return
    if options.short:
        options.rounds, options.events = 12, 1000
    has_met = []
    with ExitStack() as stack:
        homes = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        raw_url, raw_pid = stack.enter_context(raw_upstream())
        behind = stack.enter_context(serving(homes[0], "--engine", "fake"))
        (homes[1] / "myna.toml").write_text(
            f'[upstreams.myna]\nurl = "{behind.base_url}"\nkey_env = "UPSTREAM_KEY"\nmodels = ["gpt-4o"]\n'
            f'[upstreams.raw]\nurl = "{raw_url}"\nmodels = ["{RAW_MODEL}"]\n'
        )
        front = stack.enter_context(serving(homes[1], "--engine", "fake", UPSTREAM_KEY=KEY))
        for name, url, pid, model in (
            ("second Myna", behind.base_url, behind.pid, "gpt-4o"),
            ("bare server", raw_url, raw_pid, RAW_MODEL),
        ):
            pair = (Target(url, model), Target(front.base_url, model))
            has_met.append(compare(name, *pair, (pid, front.pid), options.rounds, options.events))
        pair = (Target(raw_url, RAW_MODEL), Target(front.base_url, RAW_MODEL))
        has_met.append(compare_paced(*pair, options.rounds // 8 + 1))
    sys.exit(0 if all(has_met) else 1)


if __name__ == "__main__":
    main()

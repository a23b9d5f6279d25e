"""What relaying a request adds to calling the upstream directly: time to first byte, and events per second.

Two upstreams, each in a separate process: another Myna with the fake engine, and a bare server. Both send as
fast as possible, on processor cores that the relay shares, so those ratios show the relay's ceiling; the bare
server also sends 32 streams at the pace of a model. Rounds alternate between direct and relayed, so that
other load affects both.

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
    first_ms: float
    events_per_s: float


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
            for index in range(int(body.get("max_tokens", 1))):
                writer.write(chunk)
                if pace_s:
                    await asyncio.sleep(pace_s)
                elif index % 16 == 0:
                    await writer.drain()
            writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


@contextmanager
def raw_upstream() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--raw-server", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield f"http://127.0.0.1:{port}/v1"
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
        first = time.perf_counter()
        while not received.endswith(b"0\r\n\r\n"):
            received += self._receive()
        took_s = time.perf_counter() - started
        return Measured((first - started) * 1e3, received.count(b"data: {") / took_s)

    def _receive(self) -> bytearray:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        return bytearray(data)


def compare(name: str, direct: Target, relayed: Target, rounds: int, num_events: int) -> bool:
    clients = (Client(direct), Client(relayed))
    for client in clients:
        for _ in range(5):
            client.ask(8)
    firsts: tuple[list[float], list[float]] = ([], [])
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, client in enumerate(clients):
            firsts[side].append(client.ask(8).first_ms)
        for side, client in enumerate(clients):
            rates[side].append(client.ask(num_events).events_per_s)
    first = [statistics.median(values) for values in firsts]
    rate = [statistics.median(values) for values in rates]
    added = statistics.median(b - a for a, b in zip(*firsts, strict=True))
    ratio = statistics.median(b / a for a, b in zip(*rates, strict=True))
    print(
        f"{name:12} first byte {first[0]:6.2f} -> {first[1]:6.2f} ms (+{added:.2f})   "
        f"events/s {rate[0]:9,.0f} -> {rate[1]:9,.0f} (x{ratio:.3f})   bar: +{MAX_ADDED_MS} ms",
        flush=True,
    )
    return added < MAX_ADDED_MS


def compare_paced(direct: Target, relayed: Target, rounds: int) -> bool:
    """32 streams at once, each with 50 events per second."""
    ratios, rates = [], []
    with ThreadPoolExecutor(PACED_STREAMS) as threads:
        sides = [[Client(target) for _ in range(PACED_STREAMS)] for target in (direct, relayed)]
        for _ in range(rounds):
            rate = []
            for clients in sides:
                started = time.perf_counter()
                list(threads.map(lambda client: client.ask(PACED_EVENTS, PACE_S), clients))
                rate.append(PACED_STREAMS * PACED_EVENTS / (time.perf_counter() - started))
            ratios.append(rate[1] / rate[0])
            rates.append(rate)
    before, after = (statistics.median(side) for side in zip(*rates, strict=True))
    ratio = statistics.median(ratios)
    print(
        f"32 paced     events/s {before:9,.0f} -> {after:9,.0f} (x{ratio:.3f})   bar: x{MIN_PACED_RATIO}",
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
        raw_url = stack.enter_context(raw_upstream())
        behind = stack.enter_context(serving(homes[0], "--engine", "fake"))
        (homes[1] / "myna.toml").write_text(
            f'[upstreams.myna]\nurl = "{behind.base_url}"\nkey_env = "UPSTREAM_KEY"\nmodels = ["gpt-4o"]\n'
            f'[upstreams.raw]\nurl = "{raw_url}"\nmodels = ["{RAW_MODEL}"]\n'
        )
        front = stack.enter_context(serving(homes[1], "--engine", "fake", UPSTREAM_KEY=KEY))
        for name, url, model in (
            ("second Myna", behind.base_url, "gpt-4o"),
            ("bare server", raw_url, RAW_MODEL),
        ):
            pair = (Target(url, model), Target(front.base_url, model))
            has_met.append(compare(name, *pair, options.rounds, options.events))
        pair = (Target(raw_url, RAW_MODEL), Target(front.base_url, RAW_MODEL))
        has_met.append(compare_paced(*pair, options.rounds // 8 + 1))
    sys.exit(0 if all(has_met) else 1)


if __name__ == "__main__":
    main()

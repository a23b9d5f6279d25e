"""Check that the ledger has every request that received a token, despite disconnects and a killed server.

Streams of random length run against a server with the fake engine; some clients disconnect after a random
number of tokens. Halfway, the server gets SIGKILL and is restarted in the same folder. Then the row of each
request is compared with what its client received: it must exist once, with no fewer tokens, and at most those
of one write more. A client that disconnects can't know what was on its way, so for those only the tokens that
it read count, and the row may have more.

    python bench/crash_ledger.py --requests 10000 --concurrent 64 --out bench/reports/crash_ledger.json
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

KEY = "sk-bench-0123456789abcdef"
# Events that may share a write; see `http.streaming`.
MOST_A_WRITE = 64
END_OF_TEXT = 256
_STARTS_WITHIN_S = 60.0


@dataclass
class Attempt:
    """One request as its client saw it. Each token of the fake engine is a word preceded by a space."""

    id: str = ""
    num_tokens: int = 0
    has_left: bool = False
    is_whole: bool = False


@dataclass
class Server:
    """`myna serve` with the fake engine, always with the same home folder and port."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "myna.cli", "serve", "--engine", "fake", "--port", str(self.port)]
        environment = os.environ | {
            "MYNA_HOME": str(self.home),
            "MYNA_API_KEY": KEY,
            "MYNA_LOG_LEVEL": "warning",
        }
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    async def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
                writer.close()
                if b" 200 " in answer[:20]:
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"no server within {_STARTS_WITHIN_S} s: {(self.home / 'log').read_text()}"
                )
            await asyncio.sleep(0.1)


@dataclass
class Load:
    """`total` requests, `concurrent` at a time; after half of them the server is killed and restarted."""

    server: Server
    total: int
    concurrent: int
    rng: random.Random
    attempts: list[Attempt] = field(default_factory=list)
    num_done: int = 0
    num_refused: int = 0

    async def run(self) -> None:
        self.server.start()
        await self.server.wait_until_ready()
        self._is_up = asyncio.Event()
        self._is_up.set()
        self._half = asyncio.Event()
        killer = asyncio.create_task(self._kill_in_the_middle())
        await asyncio.gather(*(self._client() for _ in range(self.concurrent)))
        await killer

    async def _kill_in_the_middle(self) -> None:
        await self._half.wait()
        self._is_up.clear()
        await asyncio.to_thread(self.server.kill)
        self.server.start()
        await self.server.wait_until_ready()
        self._is_up.set()

    async def _client(self) -> None:
        while self.num_done < self.total:
            self.num_done += 1
            if self.num_done == self.total // 2:
                self._half.set()
            attempt = Attempt()
            self.attempts.append(attempt)
            try:
                await self._ask(attempt)
            except OSError:
                if not attempt.id:  # the server is down: no request was sent
                    self.num_refused += 1
                    self.num_done -= 1
                    await self._is_up.wait()

    async def _ask(self, attempt: Attempt) -> None:
        length = self.rng.randint(1, 120)
        leaves_after = self.rng.randint(1, length) if self.rng.random() < 0.3 else None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=1 << 20)
        try:
            writer.write(self._request(length))
            while line := await reader.readline():
                if line.lower().startswith(b"x-request-id:"):
                    attempt.id = line.split(b":", 1)[1].strip().decode()
                elif line.startswith(b"data: {"):
                    event = json.loads(line[6:])
                    for choice in event.get("choices", ()):
                        attempt.num_tokens += choice["text"].count(" ")
                    if leaves_after is not None and attempt.num_tokens >= leaves_after:
                        attempt.has_left = True
                        writer.transport.abort()
                        return
                elif line.startswith(b"data: [DONE]"):
                    attempt.is_whole = True
        finally:
            writer.close()

    def _request(self, length: int) -> bytes:
        prompt = f"a bird {self.rng.getrandbits(40)}"
        if self.rng.random() < 0.2:
            prompt += " [[slow 2]]"
        body = json.dumps(
            {
                "model": "fake",
                "prompt": prompt,
                "max_tokens": length,
                "stream": True,
                "temperature": 0,
                "logit_bias": {str(END_OF_TEXT): -100},
            }
        ).encode()
        head = (
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def rows_of(home: Path) -> list[tuple[str, int, str]]:
    with contextlib.closing(sqlite3.connect(home / "myna.db")) as connection:
        return connection.execute("SELECT id, completion_tokens, outcome FROM usage").fetchall()


def compare(attempts: list[Attempt], rows: list[tuple[str, int, str]]) -> dict[str, object]:
    """Counts of errors, which should be 0, and how many tokens the ledger was ahead of its clients."""
    num_rows = Counter(row_id for row_id, _, _ in rows)
    by_id = {row_id: (tokens, outcome) for row_id, tokens, outcome in rows}
    served = [attempt for attempt in attempts if attempt.num_tokens]
    known = [attempt for attempt in served if attempt.id in by_id]
    ahead = Counter(by_id[attempt.id][0] - attempt.num_tokens for attempt in known)
    stayed = [attempt for attempt in known if not attempt.has_left]
    return {
        "num_served": len(served),
        "num_left": sum(attempt.has_left for attempt in served),
        "num_cut_by_the_kill": sum(not attempt.is_whole and not attempt.has_left for attempt in served),
        "num_rows": len(rows),
        "outcomes": dict(Counter(outcome for _, outcome in by_id.values())),
        "missing": sum(attempt.id not in by_id for attempt in served),
        "more_than_once": sum(num > 1 for num in num_rows.values()),
        "fewer_tokens": sum(num for more, num in ahead.items() if more < 0),
        "more_than_a_write": sum(
            by_id[attempt.id][0] - attempt.num_tokens > MOST_A_WRITE for attempt in stayed
        ),
        "tokens_ahead": {str(more): num for more, num in sorted(ahead.items())},
    }


FAULTS = ("missing", "more_than_once", "fewer_tokens", "more_than_a_write")


def crash(home: Path, total: int, concurrent: int, seed: int) -> dict[str, object]:
    """Run the load, then shut down the server gracefully, and compare."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(home, port)
    load = Load(server, total, concurrent, random.Random(seed))
    try:
        asyncio.run(load.run())
        server.stop()
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
    left = [path.name for path in (home / "journal").iterdir()]
    return {"refused_while_away": load.num_refused, "journals_left": left} | compare(
        load.attempts, rows_of(home)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--concurrent", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory() as home:
        report = crash(Path(home), options.requests, options.concurrent, options.seed)
    report = {"requests": options.requests, "concurrent": options.concurrent, "seed": options.seed} | report
    text = json.dumps(report, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")
    if any(report[fault] for fault in FAULTS):
        raise SystemExit("the ledger and its clients disagree")


if __name__ == "__main__":
    main()

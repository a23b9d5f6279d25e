"""Mixed requests from many clients while everything goes wrong; at the end, whether anything was lost.

    PYTHONPATH=src:. python bench/chaos.py --requests 20000 --minutes 20
    PYTHONPATH=src:. python bench/chaos.py --requests 20000 --minutes 20 --postgresql
    PYTHONPATH=src:. python bench/chaos.py --requests 20000 --minutes 2 --at-most 2

The server runs the real small model, in a home on a small disk of its own (tmpfs, for root), with a clock
that can be moved and few file descriptors. Faults follow each other until the requests are done. Then: no
request may hang; each must have ended with an answer, an error body or an error event, unless the bench
itself cut its connection; the ledger must agree with the usage that clients were sent; memory and descriptors
must be flat; the log must have no traceback.
"""

import argparse
import asyncio
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from bench.chaos_client import Clients, Sent, ledger_rows
from bench.chaos_faults import FAULTS, Clock, Place, Proxy, small_disk
from tests.stores.postgresql import Cluster, running_cluster

KEY = "sk-bench-0123456789abcdef"
MODEL = "smollm2-135m-instruct"
NUM_DESCRIPTORS = 1024
PAUSE_S = 6.0
SETTLE_S = 20.0


@dataclass
class Server:
    """`myna serve`, its log in memory."""

    home: Path
    environment: dict[str, str]
    url: str = ""
    log: list[str] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[str]"]:
        command = [sys.executable, "-m", "myna.cli", "serve", MODEL, "--port", "0", "--log-level", "warning"]
        with subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (NUM_DESCRIPTORS,) * 2),
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            threading.Thread(target=self.log.extend, args=(process.stderr,), daemon=True).start()
            for line in process.stdout:
                if "Base URL" in line:
                    self.url = line.split()[-1]
                if "Ctrl-C" in line:
                    break
            threading.Thread(target=process.stdout.read, daemon=True).start()
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()


@dataclass(frozen=True)
class Use:
    """Memory and descriptors of the server and its workers."""

    server_mb: float
    workers_mb: float
    num_descriptors: int

    @classmethod
    def of(cls, pid: int) -> "Use":
        server = psutil.Process(pid)
        workers = 0
        for child in server.children(recursive=True):
            with suppress(psutil.Error):
                workers += child.memory_info().rss
        return cls(round(server.memory_info().rss / 1e6, 1), round(workers / 1e6, 1), server.num_fds())


async def faults_until(done: asyncio.Event, place: Place, names: list[str]) -> Counter[str]:
    """One after the other, in a new order each round; returns how often each happened."""
    report = Counter[str]()
    while not done.is_set():
        for name in place.random.sample(names, len(names)):
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), PAUSE_S)
            if done.is_set():
                break
            print(f"{time.strftime('%H:%M:%S')}  {name}", flush=True)
            await FAULTS[name](place)
            report[name] += 1
    return report


async def compare_ledger(server: Server, sent: list[Sent]) -> dict[str, int]:
    """Rows against the usage that clients were sent."""
    rows: dict[str, list[dict[str, object]]] = {}
    async for row in ledger_rows(server.url, KEY):
        rows.setdefault(str(row["user_id"]), []).append(row)
    answered = [one for one in sent if one.end == "answer" and one.tokens is not None]
    return {
        "answers": len(answered),
        "without a row": sum(1 for one in answered if one.user not in rows),
        "with several rows": sum(1 for one in answered if len(rows.get(one.user, ())) > 1),
        "with other tokens": sum(
            1 for one in answered if one.user in rows and rows[one.user][0]["output_tokens"] != one.tokens
        ),
        "rows in all": sum(map(len, rows.values())),
    }


def numbers(count: int, at_most_minutes: float) -> Iterator[int]:
    ends = time.monotonic() + at_most_minutes * 60
    for number in range(count):
        if time.monotonic() > ends:
            return
        yield number


async def run(options: argparse.Namespace, server: Server, place: Place) -> dict[str, object]:
    host, _, port = server.url.removeprefix("http://").removesuffix("/v1").partition(":")
    place.proxy.target = (host, int(port))
    clients = Clients(await place.proxy.start(), KEY, MODEL, place.random)
    warm = Clients(f"{server.url}/", KEY, MODEL, random.Random(1), prefix="warm")
    await warm.run(iter(range(200)), options.clients, 0)
    await asyncio.sleep(SETTLE_S)
    before = Use.of(place.pid)
    done = asyncio.Event()
    breaking = asyncio.create_task(faults_until(done, place, options.faults))
    started = time.monotonic()
    pace_s = options.minutes * 60 / options.requests
    await clients.run(numbers(options.requests, options.at_most), options.clients, pace_s)
    took_s = time.monotonic() - started
    done.set()
    faults = await breaking
    await asyncio.sleep(SETTLE_S)
    after = Use.of(place.pid)
    return {
        "requests": len(clients.sent),
        "clients": options.clients,
        "minutes": round(took_s / 60, 1),
        "database": "PostgreSQL" if place.cluster else "SQLite",
        "faults": dict(faults),
        "cut by the proxy": place.proxy.num_cut,
        "ends": dict(clients.ends.most_common()),
        "errors": dict(Counter(f"{one.status} {one.detail}" for one in clients.sent if one.end == "error")),
        "events": dict(Counter(one.detail for one in clients.sent if one.end == "event")),
        "hung": [
            f"{one.kind} {one.status} {one.request_id or one.user}"
            for one in clients.sent
            if one.end == "hung"
        ],
        "cut while": dict(Counter(one.kind for one in clients.sent if one.end == "cut")),
        "ledger": await compare_ledger(server, clients.sent),
        "before": vars(before),
        "after": vars(after),
        "log lines": len(server.log),
        "tracebacks": sum("Traceback" in line for line in server.log),
    }


def options_of(text: str = __doc__) -> argparse.ArgumentParser:
    """The options that the bench shares with `soak.py`."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="at least")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--models", type=Path, default=Path.home() / ".local/share/myna/models")
    parser.add_argument("--out", type=Path, help="write the report there, as JSON")
    parser.add_argument("--log", type=Path, help="write the server's log there")
    return parser


@contextmanager
def prepared(options: argparse.Namespace, *, disk_mb: int) -> Iterator[tuple[Server, Place]]:
    """A running server, and what faults act on. Without a disk of its own, it can't be filled."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="myna-chaos-")))
        if not (disk_mb and stack.enter_context(small_disk(home, disk_mb))):
            options.faults = [name for name in options.faults if name != "full disk"]
        (home / "models").symlink_to(options.models)
        cluster: Cluster | None = stack.enter_context(running_cluster()) if options.postgresql else None
        clock = Clock(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MYNA_")}
        environment |= {"MYNA_HOME": str(home), "MYNA_API_KEY": KEY, **clock.variables}
        if cluster is not None:
            environment["MYNA_DATABASE"] = cluster.new_database()
        server = Server(home, environment)
        process = stack.enter_context(server.running())
        generator = random.Random(options.seed)
        yield server, Place(process.pid, home, Proxy(("", 0), generator), cluster, clock, generator, KEY)


def finish(report: dict[str, object], server: Server, options: argparse.Namespace) -> int:
    """Print and write the report; the exit code is 1 if anything was lost."""
    text = json.dumps(report, indent=2, ensure_ascii=False)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    if options.log:
        options.log.write_text("".join(server.log))
    ledger, ends = report["ledger"], report["ends"]
    assert isinstance(ledger, dict)
    assert isinstance(ends, dict)
    losses = ledger["without a row"] + ledger["with several rows"] + ledger["with other tokens"]
    return 1 if losses or report["tracebacks"] or ends.get("hung") else 0


def main() -> int:
    parser = options_of()
    parser.add_argument("--requests", type=int, default=20_000, help="spread over the minutes")
    parser.add_argument("--at-most", type=float, default=math.inf, help="minutes; then send no more requests")
    options = parser.parse_args()
    with prepared(options, disk_mb=256) as (server, place):
        report = asyncio.run(run(options, server, place))
    return finish(report, server, options)


if __name__ == "__main__":
    sys.exit(main())

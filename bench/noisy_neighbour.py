"""What one hostile request does to 16 ordinary streams: the longest gap between events, with and without it.

    python bench/noisy_neighbour.py --model smollm2-135m-instruct --out bench/reports/noisy_neighbour.json
    python bench/noisy_neighbour.py --kinds bodies store_locked        # only these
    python bench/noisy_neighbour.py --short                            # two minutes

Two servers are measured, one with the fake engine and one with the model. For each kind, the streams run
alone for --seconds, then together with the neighbour until it has its response, or for --longest seconds. The
neighbour is a separate process (this file with --be), so that its work isn't counted as the server's. The
exit code is 1 if a gap is above 250 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from overhead import KEY, free_port, started

LIMIT_MS = 250.0
STREAMS = 16
BODY_BYTES = 15 * 2**20
LOCKED_S = 6.0
FAKE_PROMPT = f"[[slow 20]][[say{' bird' * 3000}]]"
HOSTILE_TEMPLATE = (
    "{% for m in messages %}{{ m.content }}{% if 'grow' in m.content %}{{ 'a'.ljust(2000000000) }}{% endif %}"
    "{% if 'power' in m.content %}{% set x = namespace(n=3) %}{% for i in range(40) %}"
    "{% set x.n = x.n * x.n %}{% endfor %}{% endif %}{% endfor %}"
)


# --- the neighbours: what each sends ---


@dataclass(frozen=True, slots=True)
class Target:
    """The server that a neighbour sends requests to."""

    port: int
    model: str
    home: Path


def many(entry: str, num_bytes: int = BODY_BYTES) -> str:
    return f"[{','.join([entry] * (num_bytes // (len(entry) + 1)))}]"


def conversation(content: str = '"hi"') -> str:
    return f'"messages":[{{"role":"user","content":{content}}}]'


def numbered(count: int) -> str:
    return ",".join(f'"{number}":1' for number in range(count))


def large_bodies() -> list[str]:
    """Invalid in every way that used to be expensive, each as large as the server accepts."""
    schema = json.dumps({"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(300)}})
    tool = f'{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}'
    message = '{"role":"user","content":"a"}'
    return [
        f'"messages":{many(message)}',
        conversation(many('{"type":"text","text":"a"}')),
        conversation(many("[]")),
        conversation("[" * 1000 + "]" * 1000),
        f'{conversation()},"logit_bias":{{{numbered(1_300_000)}}}',
        f"{conversation()},{numbered(80_000)}",
        f'"messages":[{{"role":"user",{numbered(80_000)}}}]',
        f'{conversation()},"n":{"1" * BODY_BYTES}',
        f'{conversation()},"{"k" * BODY_BYTES}":1',
        conversation(many("1")),
        f'{conversation()},"tools":{many(tool)}',
        conversation(json.dumps("\\" * (BODY_BYTES // 2))),
    ]


def nearly_valid() -> list[str]:
    """As large as every bound permits, and invalid only in the last message."""
    parts = many('{"type":"text","text":"a"}', 2000 * 27)
    messages = ",".join([f'{{"role":"user","content":{parts}}}'] * 16)
    return [f'"messages":[{messages},{{}}]', f'"messages":[{messages}]']


def named(count: int, name: str, value: dict[str, Any] | None = None) -> dict[str, Any]:
    return {f"{name}_{number}": value or {"type": "string"} for number in range(count)}


def an_object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


def optional(name: str) -> dict[str, Any]:
    """Takes 2 s to compile, if it is compiled."""
    return an_object(named(4900, name))


def slowest(name: str) -> list[dict[str, Any]]:
    """Each just within the limits, with a compile time that is quadratic in its size."""
    objects = {f"{name}_{number}": an_object(named(990, f"{name}_{number}")) for number in range(5)}
    links = {
        f"d{number}": an_object({f"{name}_{number}": {"$ref": f"#/$defs/d{number + 1}"}})
        for number in range(4900)
    }
    required = named(4900, name)
    patterned = named(900, name, {"type": "string", "pattern": f"^(a|{name}|[0-9]{{1,40}})+$"})
    return [
        an_object(objects),
        {"$ref": "#/$defs/d0", "$defs": {**links, "d4900": {"type": "string"}}},
        an_object(required, required=[*required], additionalProperties={"type": "integer"}),
        an_object(patterned, required=[*patterned]),
        {"type": "object", "patternProperties": {f"^{name}{number}[a-z]*$": {} for number in range(64)}},
    ]


async def post(target: Target, path: str, body: str, *, pause_s: float = 0.0) -> tuple[int, int]:
    """One request: its status and the number of bytes received. `pause_s`: seconds to wait before reading."""
    data = body.encode()
    limit = 2**16
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=limit)
    head = (
        f"POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {KEY}\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data)
    status = int((await reader.readline()).split()[1])
    num_bytes = 0
    if pause_s:
        await asyncio.sleep(pause_s)
        writer.close()
        return status, 0
    while piece := await reader.read(limit):
        num_bytes += len(piece)
    writer.close()
    return status, num_bytes


async def at_once(target: Target, path: str, bodies: list[str], **how: float) -> list[int]:
    answers = await asyncio.gather(
        *(post(target, path, f'{{"model":"{target.model}",{body}}}', **how) for body in bodies)
    )
    return [status for status, _ in answers]


def fields(**values: Any) -> str:
    return json.dumps(values)[1:-1]


async def bodies(target: Target) -> list[int]:
    """Four large bodies at a time, until all kinds were sent."""
    found: list[int] = []
    every = large_bodies()
    for start in range(0, len(every), 4):
        found += await at_once(target, "chat/completions", every[start : start + 4])
    return found


async def nearly_valid_bodies(target: Target) -> list[int]:
    return await at_once(target, "chat/completions", nearly_valid() * 2)


async def large_text(target: Target) -> list[int]:
    return await at_once(target, "chat/completions", [conversation(json.dumps("a bird " * 1_400_000))] * 4)


async def token_prompts(target: Target) -> list[int]:
    prompts = [[token % 200 for token in range(200)]] * 2048
    return await at_once(target, "completions", [fields(prompt=prompts, max_tokens=1)] * 2)


async def logprobs(target: Target) -> list[int]:
    """A non-streaming answer with many choices and 20 log-probabilities per token. A model that computes its
    tokens can't finish 4,096 of each within --longest."""
    max_tokens = 4096 if target.model == "fake" else 1000
    asked = fields(n=8, max_tokens=max_tokens, logprobs=True, top_logprobs=20, ignore_eos=True)
    return await at_once(target, "chat/completions", [f"{conversation()},{asked}"])


async def slow_reader(target: Target) -> list[int]:
    """Two prompts in one stream that the client doesn't read."""
    asked = fields(prompt=["a bird", "a tree"], max_tokens=4000, ignore_eos=True, stream=True)
    return await at_once(target, "completions", [asked], pause_s=6.0)


async def schemas(target: Target) -> list[int]:
    """Two, four and five at a time; names are new each time, so that no compiled grammar is reused."""
    name = f"p{time.time_ns()}"
    found = []
    for some in (
        [optional(f"{name}a{n}") for n in range(2)],
        [optional(f"{name}b{n}") for n in range(4)],
        slowest(name),
    ):
        formats = [{"type": "json_schema", "json_schema": {"name": "s", "schema": one}} for one in some]
        asked = [f"{conversation()},{fields(response_format=form, max_tokens=8)}" for form in formats]
        found += await at_once(target, "chat/completions", asked)
    return found


async def tools(target: Target) -> list[int]:
    """128 tools with 30 properties each."""
    name = f"p{time.time_ns()}"
    functions = [
        {"name": f"f{number}", "parameters": an_object(named(30, f"{name}_{number}"))}
        for number in range(128)
    ]
    asked = fields(tools=[{"type": "function", "function": one} for one in functions], max_tokens=8)
    return await at_once(target, "chat/completions", [f"{conversation()},{asked}"] * 4)


async def middling_bodies(target: Target) -> list[int]:
    """Many at a time, each small enough not to matter alone."""
    messages = f'"messages":{many("{}", 60_000)}'
    return await at_once(target, "chat/completions", [messages] * 40)


async def dense_bias(target: Target) -> list[int]:
    bias = {str(token): (token % 20) / 10 for token in range(1024 if target.model != "fake" else 256)}
    asked = fields(n=128, max_tokens=32, logit_bias=bias, ignore_eos=True)
    return await at_once(target, "chat/completions", [f"{conversation()},{asked}"])


async def store_locked(target: Target) -> list[int]:
    """Answers to store while another process has the database locked."""
    database = sqlite3.connect(target.home / "myna.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    asking = asyncio.create_task(
        at_once(target, "chat/completions", [f"{conversation()},{fields(store=True, max_tokens=4)}"] * 4)
    )
    await asyncio.sleep(LOCKED_S)
    database.execute("ROLLBACK")
    database.close()
    return await asking


async def template(target: Target) -> list[int]:
    """The chat template of a hostile file, which grows without bounds and computes for long."""
    hostile = Target(target.port, "hostile", target.home)
    return await at_once(hostile, "chat/completions", [conversation('"grow"'), conversation('"power"')])


async def users(target: Target) -> list[int]:
    """Bodies for the administration endpoints."""
    paths = ("organization/projects", "organization/admin_api_keys", "chat/completions/chatcmpl-none")
    found = []
    for path in paths:
        found += await at_once(target, path, [f'"name":{many("[]")}', f'"name":"{"a" * BODY_BYTES}"'])
    return found


KINDS: dict[str, Callable[[Target], Any]] = {
    "bodies": bodies,
    "middling_bodies": middling_bodies,
    "nearly_valid_bodies": nearly_valid_bodies,
    "large_text": large_text,
    "token_prompts": token_prompts,
    "users": users,
    "logprobs": logprobs,
    "slow_reader": slow_reader,
    "schemas": schemas,
    "tools": tools,
    "dense_bias": dense_bias,
    "store_locked": store_locked,
    "template": template,
}


# --- the streams ---


@dataclass(slots=True)
class Gaps:
    """The longest time between two events of one stream, over all streams, since `reset`, including gaps
    that have not ended yet."""

    last: dict[int, float] = field(default_factory=dict)
    since: float = 0.0
    longest_s: float = 0.0
    num_events: int = 0
    all_began: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        self.since, self.longest_s, self.num_events = time.perf_counter(), 0.0, 0

    def event(self, stream: int) -> None:
        now = time.perf_counter()
        if stream in self.last:
            self.longest_s = max(self.longest_s, now - max(self.last[stream], self.since))
        self.last[stream] = now
        self.num_events += 1
        if len(self.last) == STREAMS:
            self.all_began.set()

    def longest_ms(self) -> float:
        now = time.perf_counter()
        waiting = [now - max(last, self.since) for last in self.last.values()]
        return round(max([self.longest_s, *waiting]) * 1000, 1)


async def stream(number: int, target: Target, gaps: Gaps) -> None:
    """Ordinary requests, one after another."""
    prompt = FAKE_PROMPT if target.model == "fake" else f"Stream {number} tells a long story."
    # Short answers for a real model, since a long context slows down each step.
    max_tokens = 2500 if target.model == "fake" else 256
    body = {"model": target.model, "prompt": prompt, "max_tokens": max_tokens, "ignore_eos": True}
    body["stream"] = True
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {KEY}\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(head.encode() + data)
        async for line in reader:
            if line.startswith(b"data: {"):
                gaps.event(number)
        gaps.last.pop(number, None)  # the first event of the next answer doesn't end a gap
        writer.close()


@contextlib.asynccontextmanager
async def streaming(target: Target) -> AsyncIterator[Gaps]:
    gaps = Gaps()
    tasks = [asyncio.create_task(stream(number, target, gaps)) for number in range(STREAMS)]
    await gaps.all_began.wait()
    try:
        yield gaps
    finally:
        for task in tasks:
            task.cancel()


async def beside(kind: str, target: Target, gaps: Gaps, longest_s: float) -> list[int]:
    """Run the neighbour; returns the statuses it received, or [] if it had to be ended."""
    command = [sys.executable, __file__, "--be", kind, str(target.port), target.model, str(target.home)]
    process = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    await process.stdout.readline()  # so that it can prepare its bodies
    gaps.reset()
    process.stdin.write(b"\n")
    try:
        async with asyncio.timeout(longest_s):
            answered = await process.stdout.readline()
    except TimeoutError:
        answered = b"[]"
        process.kill()
    await process.wait()
    return list(json.loads(answered or b"[]"))


async def measured(target: Target, kinds: list[str], options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with streaming(target) as gaps:
        for kind in kinds:
            gaps.reset()
            await asyncio.sleep(options.seconds)
            alone_ms, alone_events = gaps.longest_ms(), gaps.num_events / options.seconds
            start = time.perf_counter()
            answered = await beside(kind, target, gaps, options.longest)
            spent_s = time.perf_counter() - start
            row = found[kind] = {
                "longest_gap_ms_alone": alone_ms,
                "longest_gap_ms": gaps.longest_ms(),
                "events_per_s_alone": round(alone_events),
                "events_per_s": round(gaps.num_events / spent_s),
                "neighbour_s": round(spent_s, 1),
                "statuses": sorted(answered),
            }
            stats = (
                f"{alone_ms:8.1f} {row['longest_gap_ms']:8.1f} {alone_events:7.0f} {row['events_per_s']:7}"
            )
            print(f"{target.model:24} {kind:20} {stats}  {row['statuses'] or 'ended'}", flush=True)
            await asyncio.sleep(2)  # until aborted requests have ended
    return found


# --- the servers ---


@contextlib.contextmanager
def server(model: str, models: Path) -> Iterator[Target]:
    port = free_port()
    with TemporaryDirectory() as folder:
        home = Path(folder)
        command, config = [sys.executable, "-m", "myna.cli", "serve", "--port", str(port)], {}
        if model == "fake":
            command += ["--engine", "fake"]
        else:
            (home / "models").mkdir()
            (home / "models" / f"{model}.gguf").symlink_to(models / f"{model}.gguf")
            write_hostile(models / f"{model}.gguf", home / "hostile.gguf")
            (home / "myna.toml").write_text('[models]\nhostile = "hostile.gguf"\n')
            command.append(model)
            config = {"MYNA_CONFIG": str(home / "myna.toml")}
        environment = {"MYNA_HOME": folder, "MYNA_API_KEY": KEY, "MYNA_LOG_LEVEL": "error"}
        with started(command, port, **environment, **config):
            yield Target(port, model, home)


def write_hostile(model: Path, out: Path) -> None:
    """The same model with a chat template that passes the test at load."""
    program = Path(sys.executable).with_name("gguf-new-metadata")
    subprocess.run(
        [program, "--force", "--chat-template", HOSTILE_TEMPLATE, model, out], check=True, capture_output=True
    )


def be(kind: str, port: str, model: str, home: str) -> None:
    """Act as the neighbour: print a line when ready, start on an input line, print the statuses."""
    print(flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(KINDS[kind](Target(int(port), model, Path(home))))), flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--be"]:
        be(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--models", type=Path, default=Path.home() / ".local/share/myna/models")
    parser.add_argument("--engines", nargs="+", choices=["fake", "model"], default=["fake", "model"])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seconds", type=float, default=3.0, help="how long the streams run alone")
    parser.add_argument("--longest", type=float, default=30.0, help="time limit in seconds for a neighbour")
    parser.add_argument("--short", action="store_true", help="--seconds 1 --longest 6")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.short:
        options.seconds, options.longest = 1.0, 6.0
    report: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "streams": STREAMS,
        "limit_ms": LIMIT_MS,
    }
    print(f"{'model':24} {'neighbour':20} {'alone ms':>8} {'gap ms':>8} {'ev/s':>7} {'ev/s':>7}  answers")
    for engine in options.engines:
        name = "fake" if engine == "fake" else options.model
        kinds = [kind for kind in options.kinds if not (kind == "template" and engine == "fake")]
        with server(name, options.models) as target:
            report[name] = asyncio.run(measured(target, kinds, options))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    rows = [row for found in report.values() if isinstance(found, dict) for row in found.values()]
    above = sum(row["longest_gap_ms"] > LIMIT_MS for row in rows)
    print(f"{above} of {len(rows)} gaps are above the bar of {LIMIT_MS:g} ms")
    sys.exit(1 if above else 0)


if __name__ == "__main__":
    main()

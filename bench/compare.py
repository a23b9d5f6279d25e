"""Myna compared with llama-server over HTTP, on one file, alternating (A B A B), with one load generator.

Both servers run all the time, but only one of them is under load at a time. The result is the median
of the pairs' ratios and its interquartile range; the machine's absolute speed doesn't matter. Myna proposes
tokens from what a key was answered before, so each of its measurements has a key and a project of its own.
The report names llama-server's version, arguments and instruction sets, and how it was built (--llama-build).

    python bench/compare.py --gguf model.gguf --model smollm2-135m-instruct \
        --llama-server /path/to/llama-server --pairs 7 single many shared --out bench/reports/smollm2.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

LOADTEST = Path(__file__).with_name("loadtest.py")
MYNA, LLAMA_SERVER = "myna", "llama-server"
KEY = "sk-bench-0123456789abcdef"
# End-of-text ids by model family: banned, so that every answer has its full length.
BANNED = {"smollm2": "0,2", "qwen2.5": "151643,151645", "gemma": "1,106"}
METRIC = {
    "single": "decode_tokens_per_s",
    "many": "tokens_per_s",
    "shared": "tokens_per_s",
    "prefill": "prompt_tokens_per_s",
    "fanout": "tokens_per_s",
    "mixed": "itl_ms_max",
}
# Instruction sets that speed llama.cpp up: as it calls them, and as Linux does.
INSTRUCTION_SETS = {
    "AVX2": "avx2",
    "AVX_VNNI": "avx_vnni",
    "AVX512": "avx512f",
    "AVX512_VNNI": "avx512_vnni",
    "AVX512_BF16": "avx512_bf16",
    "AMX_INT8": "amx_int8",
    "DOTPROD": "asimddp",
    "MATMUL_INT8": "i8mm",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its name and its address."""

    name: str
    port: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(name: str, command: list[str], port: int, health: str) -> Iterator[Server]:
    """Start the command, wait until `health` returns 200, and end exactly that process afterwards."""
    log = Path(tempfile.gettempdir()) / f"bench-{name}-{port}.log"
    database = Path(tempfile.mkdtemp(prefix="bench-")) / "bench.db"
    environment = os.environ | {"MYNA_API_KEY": KEY, "MYNA_DATABASE": f"sqlite:///{database}"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    try:
        deadline = time.monotonic() + 300
        while not answers(f"http://127.0.0.1:{port}{health}"):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{name} did not start; see its log {log}")
            time.sleep(0.2)
        yield Server(name, port)
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(database.parent)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def create(port: int, path: str) -> dict[str, str]:
    """Create a project or a key on this Myna server."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/organization/{path}",
        data=b'{"name": "bench"}',
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        made: dict[str, str] = json.load(response)
    return made


def fresh_key(port: int) -> str:
    """A key of a project of its own, which no request has been sent with."""
    project = create(port, "projects")["id"]
    return create(port, f"projects/{project}/api_keys")["value"]


def measure(target: Server, args: argparse.Namespace, scenario: str) -> dict[str, object]:
    """One scenario on one server, in a new load generator process."""
    key = fresh_key(target.port) if target.name == MYNA else KEY
    banned = next((ids for family, ids in BANNED.items() if family in args.model), "")
    command = [sys.executable, str(LOADTEST), scenario, "--base-url", f"http://127.0.0.1:{target.port}/v1"]
    command += ["--model", args.model, "--key", key, "--ban", banned, "--concurrency", str(args.streams)]
    command += ["--temperature", str(args.temperature), "--prompt-tokens", str(args.prompt_tokens)]
    command += ["--text", str(args.text)] if args.text else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.timeout)
    except subprocess.TimeoutExpired:
        return {"scenario": scenario, "error": f"not finished in {args.timeout:.0f} s"}
    if done.returncode:
        return {"scenario": scenario, "error": done.stderr.strip()[-300:]}
    row: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return row


def summary(scenario: str, pairs: list[tuple[dict[str, object], dict[str, object]]]) -> dict[str, object]:
    """Median and quartiles of the ratio of Myna to llama-server over all pairs."""
    key = METRIC[scenario]
    stats = [(float(str(a[key])), float(str(b[key]))) for a, b in pairs if key in a and key in b]
    line: dict[str, object] = {"scenario": scenario, "metric": key, "pairs": len(stats)}
    if stats:
        ratios = [a / b for a, b in stats]
        quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        line |= {
            "ratio_median": round(statistics.median(ratios), 3),
            "ratio_iqr": [round(quartiles[0], 3), round(quartiles[2], 3)],
            "myna_median": statistics.median(a for a, _ in stats),
            "llama_server_median": statistics.median(b for _, b in stats),
        }
    unfinished = [str(row["error"]) for pair in pairs for row in pair if "error" in row]
    return line | ({"unfinished": unfinished} if unfinished else {})


def processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        if found:
            return f"{found[1]}, {len(os.sched_getaffinity(0))} cores"
    return platform.processor()


@dataclass(frozen=True, slots=True)
class Peer:
    """What llama-server's own figures depend on."""

    version: str
    build: str
    arguments: list[str]
    instruction_sets: list[str]
    missing: list[str]  # that the processor has


def peer(args: argparse.Namespace, command: list[str]) -> Peer:
    """Ask the program: it names its instruction sets before it fails on a model that doesn't exist."""
    asked = [args.llama_server, "-lv", "4", "-m", "/nonexistent"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    sets = re.findall(r"(\w+) = 1\b", told.stdout + told.stderr)
    version = subprocess.run([args.llama_server, "--version"], capture_output=True, text=True, timeout=60)
    cpu = Path("/proc/cpuinfo")
    flags = set(cpu.read_text().split()) if cpu.exists() else set()
    missing = [name for name, flag in INSTRUCTION_SETS.items() if flag in flags and name not in sets]
    if missing:
        print(f"WARNING: this llama-server doesn't use {', '.join(missing)}", file=sys.stderr, flush=True)
    text = " ".join((version.stdout + version.stderr).split())
    shown = [part if part != KEY else "KEY" for part in command[1:]]
    return Peer(text, args.llama_build, shown, sets, missing)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="+", choices=list(METRIC))
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument(
        "--model", default="", help="id of the same file in Myna; otherwise Myna serves it as it is"
    )
    parser.add_argument("--myna", default=str(Path(sys.executable).with_name("myna")))
    parser.add_argument("--llama-server", required=True)
    parser.add_argument("--llama-build", default="", help="how it was built, for the report")
    parser.add_argument(
        "--llama-args", default="", help="further arguments of llama-server, e.g. of speculation"
    )
    parser.add_argument("--text", type=Path, help="take prompts from this text file; see loadtest.py")
    parser.add_argument("--temperature", type=float, default=0)
    parser.add_argument("--prompt-tokens", type=int, default=0, help="of single, many and prefill")
    parser.add_argument("--engine", default="auto", help="Myna's engine")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument(
        "--context", type=int, default=49152, help="KV cache of llama-server for all slots, in tokens"
    )
    parser.add_argument(
        "--timeout", type=float, default=600, help="time limit in seconds for one scenario on one server"
    )
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.served, args.model = args.model or str(args.gguf), args.model or args.gguf.stem
    return args


def commands(args: argparse.Namespace, ports: tuple[int, int]) -> tuple[list[str], list[str]]:
    ours = [args.myna, "serve", args.served, "--port", str(ports[0]), "--engine", args.engine]
    theirs = [
        args.llama_server,
        "-m",
        str(args.gguf),
        "--port",
        str(ports[1]),
        "--api-key",
        KEY,
        "--no-webui",
    ]
    theirs += [
        "-np",
        str(args.streams),
        "--kv-unified",
        "-t",
        str(len(os.sched_getaffinity(0))),
        "--poll",
        "0",
    ]
    return ours, [*theirs, "-c", str(args.context), *shlex.split(args.llama_args)]


def compare(args: argparse.Namespace, ours: Server, theirs: Server, llama: Peer) -> dict[str, object]:
    lines, raw = [], {}
    for scenario in args.scenario:
        pairs = []
        for _ in range(args.pairs):
            pairs.append((measure(ours, args, scenario), measure(theirs, args, scenario)))
            print(json.dumps(pairs[-1]), file=sys.stderr, flush=True)
        lines.append(summary(scenario, pairs))
        raw[scenario] = pairs
        print(json.dumps(lines[-1]), flush=True)
    head = {
        "model": args.model,
        "engine": args.engine,
        "processor": processor(),
        "streams": args.streams,
        "temperature": args.temperature,
        "prompts": args.text.name if args.text else "words",
        "prompt_tokens": args.prompt_tokens,
        "llama_server": asdict(llama),
    }
    return head | {"summary": lines, "runs": raw}


def main() -> None:
    args = arguments()
    ports = free_port(), free_port()
    ours, theirs = commands(args, ports)
    known = peer(args, theirs)
    with (
        server(MYNA, ours, ports[0], "/ready") as myna,
        server(LLAMA_SERVER, theirs, ports[1], "/health") as llama,
    ):
        report = compare(args, myna, llama, known)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Time per token against context and against streams, and memory, of Myna and llama-server in one run.

Both servers run all the time and take turns; each point is the median of --rounds. Prompts come from a text
file (--text), since repeated words flatter servers that guess ahead.

    python bench/scaling.py --gguf model.gguf --model qwen2.5-coder-0.5b-instruct --text book.txt \
        --llama-server /path/to/llama-server --picture docs/images/scaling.png --out scaling.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from compare import LLAMA_SERVER, MYNA, Server, commands, free_port, measure, peer, server

NAMES = (MYNA, LLAMA_SERVER)


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement of one server: milliseconds per token, and its memory in MiB afterwards."""

    server: str
    at: int
    prompt_ms: float
    decode_ms: float
    memory_mib: float


def resident_mib(port: int) -> float:
    """The memory of the process that listens there, with its children."""
    total = 0
    for process in psutil.process_iter():
        try:
            if any(c.laddr.port == port and c.status == "LISTEN" for c in process.net_connections("tcp")):
                total = sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])
                break
        except psutil.Error:
            continue
    return total / 2**20


def by_context(args: argparse.Namespace, target: Server, tokens: int) -> Point | None:
    """One stream of 128 tokens after a prompt of so many."""
    args.prompt_tokens, args.streams = tokens, 1
    row: dict[str, Any] = measure(target, args, "single")
    if "decode_tokens_per_s" not in row:
        return None
    prompt_ms = row["ttft_ms_p50"] / row["prompt_tokens"]
    return Point(target.name, tokens, prompt_ms, 1e3 / row["decode_tokens_per_s"], resident_mib(target.port))


def by_streams(args: argparse.Namespace, target: Server, streams: int) -> Point | None:
    """So many streams of 128 tokens after prompts of 128: milliseconds per token of all together."""
    args.prompt_tokens, args.streams = 128, streams
    row: dict[str, Any] = measure(target, args, "many")
    if "tokens_per_s" not in row:
        return None
    return Point(target.name, streams, 0.0, 1e3 / row["tokens_per_s"], resident_mib(target.port))


def series(
    args: argparse.Namespace,
    servers: tuple[Server, Server],
    points: list[int],
    take: Callable[[argparse.Namespace, Server, int], Point | None],
) -> list[Point]:
    found = []
    for at in points:
        rounds = [[take(args, target, at) for target in servers] for _ in range(args.rounds)]
        for name, taken in zip(NAMES, zip(*rounds, strict=True), strict=True):
            if good := [point for point in taken if point is not None]:
                median = [
                    statistics.median(getattr(point, field) for point in good)
                    for field in ("prompt_ms", "decode_ms", "memory_mib")
                ]
                found.append(Point(name, at, *median))
                print(found[-1], file=sys.stderr, flush=True)
    return found


def draw(path: Path, model: str, contexts: list[Point], streams: list[Point]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    plots = figure.subplots(1, 4)
    panels = [
        (contexts, "prompt_ms", "prompt: ms per token", "tokens of context"),
        (contexts, "decode_ms", "one stream: ms per token", "tokens of context"),
        (streams, "decode_ms", "all streams: ms per token", "streams"),
        (contexts, "memory_mib", "memory in MiB", "tokens of context"),
    ]
    for plot, (points, field, title, axis) in zip(plots, panels, strict=True):
        for name in NAMES:
            own = [point for point in points if point.server == name]
            plot.plot([p.at for p in own], [getattr(p, field) for p in own], marker="o", label=name)
        plot.set(title=title, xlabel=axis, xscale="log", ylim=(0, None))
        ticks = sorted({point.at for point in points})
        plot.set_xticks(ticks, [str(tick) for tick in ticks])
        plot.minorticks_off()
    plots[0].legend()
    figure.suptitle(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--model", required=True, help="id of the same file in Myna")
    parser.add_argument("--myna", default=str(Path(sys.executable).with_name("myna")))
    parser.add_argument("--llama-server", required=True)
    parser.add_argument("--llama-build", default="", help="how it was built, for the report")
    parser.add_argument("--llama-args", default="")
    parser.add_argument("--engine", default="auto", help="Myna's engine")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--contexts", type=numbers, default=[500, 2000, 8000, 16000])
    parser.add_argument("--streams-of", type=numbers, default=[1, 8, 32, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--context", type=int, default=49152, help="KV cache of llama-server, in tokens")
    parser.add_argument("--timeout", type=float, default=600, help="for one measurement, in seconds")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.served = args.model
    return args


def main() -> None:
    args = arguments()
    args.streams = max(args.streams_of)
    ports = free_port(), free_port()
    ours, theirs = commands(args, ports)
    known = peer(args, theirs)
    with (
        server(NAMES[0], ours, ports[0], "/ready") as myna,
        server(NAMES[1], theirs, ports[1], "/health") as llama,
    ):
        contexts = series(args, (myna, llama), args.contexts, by_context)
        streams = series(args, (myna, llama), args.streams_of, by_streams)
    if args.picture:
        draw(args.picture, args.model, contexts, streams)
    rows = {"contexts": contexts, "streams": streams}
    report = {"model": args.model, "llama_server": vars_of(known)} | {
        name: [vars_of(point) for point in points] for name, points in rows.items()
    }
    text = json.dumps(report, indent=1) + "\n"
    if args.out:
        args.out.write_text(text)
    else:
        print(text)


def vars_of(record: Any) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__slots__}


if __name__ == "__main__":
    main()

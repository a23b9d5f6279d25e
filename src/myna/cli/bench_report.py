"""The results of `myna bench`, for a terminal and as JSON."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from myna.cli.bench_measure import BenchResult, Speed
from myna.cli.language import _

_BAR_CELLS = 46
_PARTS = " ▏▎▍▌▋▊▉"


def as_plain(result: BenchResult) -> dict[str, object]:
    """For `--json`."""
    return {
        "model": result.model,
        "kernels": result.kernels,
        "threads": result.num_threads,
        "machine": {
            "gigabytes_per_s": round(result.limits.bytes_per_s / 1e9, 2),
            "gops": round(result.limits.ops_per_s / 1e9, 1) or None,
            "operands": result.limits.operands,
        },
        "results": [
            {
                "kind": speed.scenario.kind,
                "size": speed.scenario.size,
                "tokens_per_s": round(speed.tokens_per_s, 2),
                "gigabytes_per_s": round(speed.bytes_per_s / 1e9, 2),
                "gops": round(speed.ops_per_s / 1e9, 1),
                "llamacpp_tokens_per_s": speed.peer_tokens_per_s and round(speed.peer_tokens_per_s, 2),
                "ratio": speed.ratio and round(speed.ratio, 3),
            }
            for speed in result.speeds
        ],
    }


def show(result: BenchResult, console: Console) -> None:
    machine = f"{result.limits.bytes_per_s / 1e9:,.0f} GB/s"
    if result.limits.ops_per_s:
        machine += f", {result.limits.ops_per_s / 1e9:,.0f} GOPS ({result.limits.operands})"
    title = f"{result.model} · {result.kernels} · {result.num_threads} × CPU"
    peak = _("Measured peak of this machine")
    console.print(f"[bold]{title}[/bold]\n{peak}: {machine}", highlight=False)
    console.print(_table(result))
    console.print(_plot(result))


def _table(result: BenchResult) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    has_peer = any(speed.peer_tokens_per_s for speed in result.speeds)
    table.add_column("")
    for title in ("tokens/s", "GB/s", "%", "GOPS", "%", *(("llama.cpp", "×") if has_peer else ())):
        table.add_column(title, justify="right", no_wrap=True)
    kind = ""
    for speed in result.speeds:
        if speed.scenario.kind != kind:
            kind = speed.scenario.kind
            table.add_section()
        cells = [
            f"{kind} {speed.scenario.size}",
            f"{speed.tokens_per_s:,.1f}",
            f"{speed.bytes_per_s / 1e9:,.1f}",
            _share(speed.bytes_per_s, result.limits.bytes_per_s),
            f"{speed.ops_per_s / 1e9:,.0f}",
            _share(speed.ops_per_s, result.limits.ops_per_s),
        ]
        if speed.peer_tokens_per_s is not None and speed.ratio is not None:
            cells += [f"{speed.peer_tokens_per_s:,.1f}", f"{speed.ratio:.2f}"]
        table.add_row(*cells)
    return table


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f}" if whole else ""


def _plot(result: BenchResult) -> RenderableType:
    """Bars of tokens per second, ours above the peer's; each kind on its own scale."""
    lines: list[Text] = []
    for kind in ("decode", "prefill"):
        speeds = [speed for speed in result.speeds if speed.scenario.kind == kind]
        if not speeds:
            continue
        largest = max(max(speed.tokens_per_s, speed.peer_tokens_per_s or 0) for speed in speeds)
        lines.append(Text(f"\n{kind}, tokens/s", style="bold"))
        for speed in speeds:
            lines += _bars(speed, largest)
    return Group(*lines)


def _bars(speed: Speed, largest: float) -> Iterator[Text]:
    yield Text.assemble(
        f"{speed.scenario.size:>5} ",
        (_bar(speed.tokens_per_s / largest), "green"),
        f" {speed.tokens_per_s:,.0f}",
    )
    if speed.peer_tokens_per_s is not None:
        yield Text.assemble(
            " " * 6,
            (_bar(speed.peer_tokens_per_s / largest), "yellow"),
            f" {speed.peer_tokens_per_s:,.0f} llama.cpp",
        )


def _bar(share: float) -> str:
    eighths = round(share * _BAR_CELLS * 8)
    return ("█" * (eighths // 8) + _PARTS[eighths % 8].strip()) or "▏"

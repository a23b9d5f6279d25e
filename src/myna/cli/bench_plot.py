"""The results of `myna bench` as a plot. The only user of matplotlib, imported when a plot is wanted."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from myna.cli.bench_measure import BenchResult, Speed


def draw(result: BenchResult, path: Path) -> None:
    """Tokens per second by batch size and prompt length, and the share of the machine's peak. The path's
    suffix chooses the format. Raises `OSError` and, for an unknown ending, `ValueError`."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    figure.suptitle(f"{result.model}: {result.kernels}, {result.num_threads} threads")
    axes = figure.subplots(2, 2)
    for column, (kind, label) in enumerate(
        (("decode", "answers at once"), ("prefill", "tokens of the prompt"))
    ):
        speeds = [speed for speed in result.speeds if speed.scenario.kind == kind]
        _draw_speeds(axes[0][column], speeds)
        _draw_shares(axes[1][column], speeds, result)
        axes[0][column].set_title(kind)
        axes[1][column].set_xlabel(label)
    figure.savefig(path, dpi=120)


def _draw_speeds(axes: Axes, speeds: list[Speed]) -> None:
    sizes = [str(speed.scenario.size) for speed in speeds]
    axes.plot(sizes, [speed.tokens_per_s for speed in speeds], "o-", label="Myna")
    peers = [speed.peer_tokens_per_s for speed in speeds if speed.peer_tokens_per_s is not None]
    if peers:
        axes.plot(sizes, peers, "s--", label="llama.cpp")
    axes.set_ylabel("tokens/s")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()


def _draw_shares(axes: Axes, speeds: list[Speed], result: BenchResult) -> None:
    sizes, limits = [str(speed.scenario.size) for speed in speeds], result.limits
    read = [100 * speed.bytes_per_s / limits.bytes_per_s for speed in speeds]
    axes.plot(sizes, read, "o-", label=f"of {limits.bytes_per_s / 1e9:,.0f} GB/s")
    if limits.ops_per_s:
        computed = [100 * speed.ops_per_s / limits.ops_per_s for speed in speeds]
        axes.plot(sizes, computed, "^-", label=f"of {limits.ops_per_s / 1e9:,.0f} GOPS")
    axes.set_ylabel("% of what the machine can do")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()

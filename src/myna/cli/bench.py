"""`myna bench`: how fast this machine is with a model, and how much of the machine that takes."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from myna.cli.offer import find_default
from myna.cli.pull import fetch
from myna.cli.screen import note
from myna.core.backend import LocalModel
from myna.core.errors import ConfigurationError, ModelLoadFailed, OperatorError
from myna.engines.registry import is_installed, load_engine
from myna.settings import Settings, load_settings

if TYPE_CHECKING:
    from myna.cli.bench_measure import Finding
    from myna.engines.base import Engine
    from myna.engines.native import NativeEngine


def bench(
    model: Annotated[
        str | None,
        typer.Argument(help="An id from `myna models` or a GGUF file; default: the default model."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=0, help="Threads; 0 is as many as the process may use.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each; the median counts.")] = 3,
    peer: Annotated[
        bool, typer.Option("--peer/--no-peer", help="Measure llama.cpp in turn, if it is installed.")
    ] = True,
    plot: Annotated[
        Path | None, typer.Option(help="Draw a picture there, such as out.png; needs 'myna[plot]'.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure prompts of several lengths and several answers at once, on this machine, without a server.

    Beside tokens a second stand the bytes of weights read and the operations done, and what share that is
    of what a short probe says the machine can do. Other programs that run meanwhile make all of it slower.

    **Examples**

    - `myna bench`: the default model
    - `myna bench smollm2-135m-instruct --threads 1 --no-peer`
    - `myna bench ./my-model.gguf --plot speed.png`
    - `myna bench --json | jq '.results[] | select(.kind == "decode")'`
    """
    settings = load_settings({} if model is None else {"model": model})
    draw = _drawer(plot)
    local = find_default(settings, {}, fetch)
    finding = _measure(
        local, settings, settings.threads if threads is None else threads, rounds, is_alone=not peer
    )
    if as_json:
        from myna.cli.bench_report import as_plain

        typer.echo(json.dumps(as_plain(finding), ensure_ascii=False))
    else:
        from myna.cli.bench_report import show

        show(finding, Console())
    draw(finding)


def _drawer(path: Path | None) -> "Callable[[Finding], None]":
    """What draws the picture, if one is wanted; what would keep it from that is told before measuring."""
    if path is None:
        return lambda finding: None
    try:
        from myna.cli.bench_plot import draw
    except ImportError as exc:
        raise ConfigurationError(
            "The picture is drawn by matplotlib; install it with: pip install 'myna[plot]'"
        ) from exc
    if not path.parent.is_dir():
        raise OperatorError(f"There is no folder {path.parent} to put the picture into.")

    def drawn(finding: "Finding") -> None:
        try:
            draw(finding, path)
        except (OSError, ValueError) as exc:
            raise OperatorError(f"The picture can't be written to {path}: {exc}.") from exc
        note(f"The picture is at {path}.")

    return drawn


def _measure(
    local: LocalModel, settings: Settings, threads: int, rounds: int, *, is_alone: bool
) -> "Finding":
    from myna.prompts.gguf import read_header
    from myna.prompts.model_check import check_model

    check_model(read_header(local.path))
    # Without the engine, importing it says what to install.
    from myna.cli.bench_measure import CONTEXT_TOKENS, measure, num_measurements
    from myna.engines import native

    ours = native.load(
        str(local.path),
        context_tokens=CONTEXT_TOKENS,
        memory_bytes=settings.memory_bytes,
        threads=threads,
    )
    other = None if is_alone else _peer(local, settings, ours)
    try:
        with _progress(num_measurements(rounds, has_peer=other is not None)) as at:
            return measure(local.id, ours, other, rounds, at)
    finally:
        ours.close()
        if other is not None:
            other.close()


def _peer(local: LocalModel, settings: Settings, ours: "NativeEngine") -> "Engine | None":
    """llama.cpp with the same model, threads and context; None where it isn't there or can't."""
    if not is_installed("llamacpp"):
        note("llama.cpp is not installed to compare with; bring it with: pip install 'myna[llamacpp]'")
        return None
    try:
        return load_engine(
            "llamacpp",
            str(local.path),
            context_tokens=ours.info.context_tokens,
            memory_bytes=settings.memory_bytes,
            threads=ours.num_threads,
        )
    except ModelLoadFailed as exc:
        note(f"llama.cpp is not compared with: {exc.message}")
        return None


@contextmanager
def _progress(total: int) -> "Iterator[Callable[[str, int], None]]":
    """A bar on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("  {task.description:<14}"), BarColumn(bar_width=None), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=total)
        yield lambda what, done: bars.update(task, description=what, completed=done)

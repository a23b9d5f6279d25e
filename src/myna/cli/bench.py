"""`myna bench`: how fast a model runs on this machine, and which share of the machine's peak that is."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from myna.cli.console import note
from myna.cli.pull import fetch
from myna.cli.served_models import find_default
from myna.core.backend import LocalModel
from myna.core.errors import ConfigurationError, ModelLoadFailed, OperatorError
from myna.core.installation import install_command
from myna.core.translatable import N_
from myna.engines.registry import is_installed, load_engine
from myna.settings import Settings, load_settings

if TYPE_CHECKING:
    from myna.cli.bench_measure import BenchResult
    from myna.engines.base import Engine
    from myna.engines.native import NativeEngine


def bench(
    model: Annotated[
        str | None,
        typer.Argument(help="An id from `myna models` or a GGUF file; default: the default model."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=0, help="Number of threads; 0: as many as the process may use.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="Number of measurements of each; the median is reported.")
    ] = 3,
    peer: Annotated[
        bool, typer.Option("--peer/--no-peer", help="Also measure llama.cpp, if it is installed.")
    ] = True,
    plot: Annotated[
        Path | None, typer.Option(help="Save a plot to this file, such as out.png; needs the extra `plot`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Measure prompt processing and generation of several sizes on this machine, without a server.

    The results are tokens per second, the bytes of weights read and operations done per second, and what
    share of the machine's peak, as measured by a short probe, that is. Other programs that run at the same
    time make all of it slower.

    **Examples**

    - `myna bench`: the default model
    - `myna bench smollm2-135m-instruct --threads 1 --no-peer`
    - `myna bench ./my-model.gguf --plot speed.png`
    - `myna bench --json | jq '.results[] | select(.kind == "decode")'`
    """
    settings = load_settings({} if model is None else {"model": model})
    draw = _drawer(plot)
    local = find_default(settings, {}, fetch)
    result = _measure(
        local, settings, settings.threads if threads is None else threads, rounds, is_alone=not peer
    )
    if as_json:
        from myna.cli.bench_report import as_plain

        typer.echo(json.dumps(as_plain(result), ensure_ascii=False))
    else:
        from myna.cli.bench_report import show

        show(result, Console())
    draw(result)


def _drawer(path: Path | None) -> "Callable[[BenchResult], None]":
    """The function that saves the plot, if one is wanted. Raises what would prevent that before measuring."""
    if path is None:
        return lambda result: None
    try:
        from myna.cli.bench_plot import draw
    except ImportError as exc:
        raise ConfigurationError(
            N_("Plots need matplotlib; install it with: {command}", command=install_command("plot"))
        ) from exc
    if not path.parent.is_dir():
        raise OperatorError(N_("There is no folder {folder} to save the plot in.", folder=path.parent))

    def drawn(result: "BenchResult") -> None:
        try:
            draw(result, path)
        except (OSError, ValueError) as exc:
            raise OperatorError(
                N_("Can't write the plot to {path}: {reason}.", path=path, reason=exc)
            ) from exc
        note(N_("The plot is at {path}.", path=path))

    return drawn


def _measure(
    local: LocalModel, settings: Settings, threads: int, rounds: int, *, is_alone: bool
) -> "BenchResult":
    from myna.prompts.gguf import read_header
    from myna.prompts.model_check import check_model

    check_model(read_header(local.path))
    # If the engine is missing, importing it raises an error that says what to install.
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
    """llama.cpp with the same model, threads and context; None if it isn't installed or can't run it."""
    if not is_installed("llamacpp"):
        note(
            N_(
                "llama.cpp is not installed, so there is no comparison; install it with: {command}",
                command=install_command("llamacpp"),
            )
        )
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
        note(N_("No comparison with llama.cpp: {reason}", reason=exc.text))
        return None


@contextmanager
def _progress(total: int) -> "Iterator[Callable[[str, int], None]]":
    """A progress bar on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("  {task.description:<14}"), BarColumn(bar_width=None), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=total)
        yield lambda what, done: bars.update(task, description=what, completed=done)

"""`myna check`: the official client against a running server, one row per behaviour."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from myna.cli.key import server_keys
from myna.cli.language import _
from myna.cli.local_servers import find_server, local_base_url
from myna.core.errors import ConfigurationError, OperatorError
from myna.core.installation import install_command
from myna.core.translatable import N_
from myna.settings import load_settings

_GROUPS: Final = (
    "myna.cli.checks.models",
    "myna.cli.checks.completions",
    "myna.cli.checks.chat",
    "myna.cli.checks.tools",
    "myna.cli.checks.responses",
    "myna.cli.checks.messages",
    "myna.cli.checks.batches",
    "myna.cli.checks.embeddings",
    "myna.cli.checks.moderations",
    "myna.cli.checks.errors",
    "myna.cli.checks.stored_responses",
)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check saw; `failure` is empty where the server has the behaviour."""

    group: str
    behaviour: str
    failure: str


def check(
    base_url: Annotated[
        str | None,
        typer.Option(
            help="Base URL of any OpenAI-compatible server; default: OPENAI_BASE_URL, else your own server."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Model to use; default: the first that the server lists."),
    ] = None,
    only: Annotated[str, typer.Option(help="Only checks whose name contains this text.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the results as a Markdown table.")
    ] = False,
) -> None:
    """Check a running server for everything that OpenAI's clients rely on.

    The key is OPENAI_API_KEY, or that of your own server. The exit code is 1 if any check fails.

    **Examples**

    - `myna check`
    - `myna check --base-url http://127.0.0.1:11434/v1 --markdown > ollama.md`
    """
    results = list(_run(base_url or os.environ.get("OPENAI_BASE_URL") or None, model, only))
    if as_json:
        rows = [
            {"group": result.group, "behaviour": result.behaviour, "fault": result.failure or None}
            for result in results
        ]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    elif as_markdown:
        typer.echo(_markdown(results))
    else:
        _show(results)
    if any(result.failure for result in results):
        raise typer.Exit(1)


def _run(base_url: str | None, model: str | None, only: str) -> Iterator[CheckResult]:
    try:
        import openai

        from myna.cli.checks.server import Check, connect
    except ImportError as exc:
        raise ConfigurationError(
            N_(
                "The checks use the official client; install it with: {command}",
                command=install_command("check"),
            )
        ) from exc
    settings = load_settings({})
    key = os.environ.get("OPENAI_API_KEY") or (server_keys(settings)[0] if base_url is None else "none")
    where = base_url or find_server(settings) or local_base_url(settings)
    try:
        server = connect(where, key, model)
    except openai.OpenAIError as exc:
        raise OperatorError(
            N_("{where} lists no models ({reason}); start a server with: myna serve", where=where, reason=exc)
        ) from exc
    for group in _GROUPS:
        checks: Sequence[Check] = import_module(group).CHECKS
        for one in checks:
            if only.lower() in one.behaviour.lower() and one.applies(server):
                yield CheckResult(one.group, one.behaviour, _failure(one.run, server))


def _failure(run: object, server: object) -> str:
    try:
        run(server)  # type: ignore[operator]
    except Exception as exc:
        # Whatever a server answers and the client raises for it is a result, not a crash.
        return (
            f"{type(exc).__name__}: {exc}".removeprefix("ExpectationFailed: ").splitlines()[0][:200]
            or type(exc).__name__
        )
    return ""


def _show(results: Sequence[CheckResult]) -> None:
    console = Console()
    table = Table("", _("behaviour"), _("what was seen instead"), title_justify="left", expand=False)
    group = ""
    for result in results:
        if result.group != group:
            group = result.group
            table.add_section()
            table.add_row("", f"[bold]{group}[/bold]", "")
        mark = "[red]✗[/red]" if result.failure else "[green]✓[/green]"
        table.add_row(mark, result.behaviour, result.failure.replace("[", "\\["))
    console.print(table)
    num_right = sum(not result.failure for result in results)
    console.print(_("{num_right} of {num_checks} behaviours", num_right=num_right, num_checks=len(results)))


def _markdown(results: Sequence[CheckResult]) -> str:
    lines = ["| | behaviour | what was seen instead |", "|---|---|---|"]
    for result in results:
        failure = result.failure.replace("|", "\\|")
        lines.append(f"| {'✗' if failure else '✓'} | {result.group}: {result.behaviour} | {failure} |")
    num_right = sum(not result.failure for result in results)
    return "\n".join([*lines, "", f"{num_right} of {len(results)} behaviours."])

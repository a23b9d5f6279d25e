"""`myna doctor`: checks the machine and the installation, and says what to fix."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from myna.catalog.partial import Progress, SilentProgress
from myna.cli.console import pull_progress
from myna.cli.language import _, translated
from myna.core.errors import ConfigurationError
from myna.core.finding import Finding, Findings
from myna.core.translatable import N_, Translatable
from myna.settings import Settings, load_settings

_MARKS: Final = {"ok": ("✓", "green"), "advice": ("!", "yellow"), "wrong": ("✗", "red")}


def doctor(
    quick: Annotated[
        bool, typer.Option("--quick", help="Don't read the models to verify their hashes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check the machine and the installation, and say what to fix.

    Nothing is changed. The exit code is 1 if something is wrong; what could be better is marked with !.

    **Examples**

    - `myna doctor`
    - `myna doctor --quick --json | jq '.[] | select(.state == "wrong")'`
    """
    findings: list[tuple[Translatable, Finding]] = []
    console = Console(highlight=False, quiet=as_json)
    for group in _groups(quick, (lambda: nullcontext(SilentProgress())) if as_json else pull_progress):
        console.print(Text(translated(group.title), style="bold"))
        for finding in group.findings:
            findings.append((group.title, finding))
            _show(console, finding)
    num_wrong = sum(finding.state == "wrong" for _, finding in findings)
    if as_json:
        rows = [
            {
                "chapter": str(title),
                "state": found.state,
                "text": str(found.text),
                "remedy": str(found.remedy),
            }
            for title, found in findings
        ]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    console.print()
    if num_wrong:
        console.print(
            _("Problems: {num_wrong}. What to do is shown below each.", num_wrong=num_wrong), style="bold red"
        )
        raise typer.Exit(1)
    console.print(_("No problems found."))


@dataclass(frozen=True, slots=True)
class CheckGroup:
    """Findings about one subject; each check runs when its finding is read."""

    title: Translatable
    findings: Findings


def _groups(is_quick: bool, watch: Callable[[], AbstractContextManager[Progress]]) -> Iterator[CheckGroup]:
    # Imported here, so that other verbs don't wait for it.
    from myna.cli.doctor import environment, machine
    from myna.cli.doctor.models import models

    settings, problem = _settings()
    yield CheckGroup(title=N_("Configuration"), findings=environment.configuration(problem))
    yield CheckGroup(title=N_("Processor"), findings=machine.processor())
    yield CheckGroup(title=N_("Memory"), findings=machine.memory(settings))
    yield CheckGroup(title=N_("Disk"), findings=machine.disk(settings))
    yield CheckGroup(title=N_("Confinement"), findings=machine.confinement())
    yield CheckGroup(title=N_("Engines"), findings=_engines(settings))
    yield CheckGroup(title=N_("Models"), findings=models(settings, is_quick=is_quick, watch=watch))
    yield CheckGroup(title=N_("Model sources"), findings=environment.sources(settings))
    yield CheckGroup(title=N_("Port"), findings=environment.port(settings))
    yield CheckGroup(title=N_("Keys"), findings=environment.secrets(settings))
    yield CheckGroup(title=N_("Database"), findings=environment.database(settings))


def _settings() -> tuple[Settings, str | Translatable]:
    """The settings that the server would use; if they are wrong, the defaults and the reason."""
    from myna.cli.running import check_settings

    try:
        settings = load_settings({})
    except ConfigurationError as exc:
        return load_settings({}, environ={"MYNA_CONFIG": "/dev/null"}), exc.text
    try:
        check_settings(settings)
    except ConfigurationError as exc:
        return settings, exc.text
    return settings, ""


def _engines(settings: Settings) -> Findings:
    """What each backend says."""
    from myna.cli.backends import backends_of

    try:
        backends = backends_of(settings)
    except ConfigurationError:  # the first chapter says so
        return
    yield from backends.findings()


def _show(console: Console, finding: Finding) -> None:
    mark, style = _MARKS[finding.state]
    line = Text.assemble(("  " + mark, style), " ", translated(finding.text))
    console.print(line, soft_wrap=True)
    if finding.remedy:
        console.print(Text.assemble("    → ", translated(finding.remedy)), soft_wrap=True)

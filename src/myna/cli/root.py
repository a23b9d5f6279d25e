"""The verbs and their order in `myna --help`."""

import typer
from typer.core import TyperGroup

from myna import __version__
from myna.cli import (
    bench,
    check,
    complete,
    key,
    keys,
    limits,
    models,
    projects,
    pull,
    replay,
    serve,
    usage,
)
from myna.cli.chat.verb import chat
from myna.cli.console import print_error
from myna.cli.doctor.verb import doctor
from myna.cli.help_language import speak_chinese
from myna.cli.language import is_chinese
from myna.cli.usage_errors import explained
from myna.core.translatable import N_

app = typer.Typer(
    name="myna",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Language models on your own machine, behind OpenAI's API.

    Start with `myna serve`: it downloads a model the first time and prints a first request to paste.
    Every setting can also be a MYNA_* variable or a line of myna.toml (see docs/configuration.md).""",
)
app.command("serve")(serve.serve)
app.command("pull")(pull.pull)
app.command("models")(models.list_models)
app.command("rm")(models.remove)
app.command("chat")(chat)
app.command("complete")(complete.complete)
app.command("key")(key.key)
app.add_typer(keys.app, name="keys")
app.add_typer(projects.app, name="projects")
app.add_typer(limits.app, name="limits")
app.command("usage")(usage.usage)
app.command("doctor")(doctor)
app.command("check")(check.check)
app.command("replay")(replay.replay)
app.command("bench")(bench.bench)


@app.callback(invoke_without_command=True)
def root(
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", is_eager=True),
) -> None:
    if version:
        typer.echo(f"myna {__version__}")
        raise typer.Exit


def run() -> int:
    """Run the command line and return the exit code. A usage error is one sentence, like all errors."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    if is_chinese():
        speak_chinese(group)
    try:
        return group.main(prog_name="myna", standalone_mode=False) or 0
    except (typer.Abort, EOFError):
        print_error(N_("Stopped."))
        return 1
    except typer.TyperException as exc:
        return _mistaken(exc)


def _mistaken(exc: typer.TyperException) -> int:
    """Show what is wrong with the arguments; nothing where typer has shown the help instead."""
    if mistake := explained(exc):
        path = getattr(getattr(exc, "ctx", None), "command_path", "myna")
        print_error(N_("{mistake} See: {path} --help", mistake=mistake, path=path))
    return 2

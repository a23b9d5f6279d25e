"""The verbs and their order in `myna --help`."""

from typing import Final

import typer
from typer.core import TyperGroup

from myna import __version__
from myna.cli import (
    batch,
    bench,
    catalog,
    check,
    complete,
    engines,
    fleet,
    import_model,
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
from myna.cli.console import print_error, say
from myna.cli.doctor.verb import doctor
from myna.cli.help_language import translate_help
from myna.cli.language import is_chinese, translated
from myna.cli.local_servers import find_server
from myna.cli.usage_errors import explained
from myna.core.translatable import N_
from myna.settings import load_settings

app = typer.Typer(
    name="myna",
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Language models on your own machine, behind OpenAI's API.

    Start with `myna serve`: it downloads a model the first time and prints a sample request.
    Every setting can also be a MYNA_* variable or a line of myna.toml (see docs/configuration.md).""",
)
app.command("serve")(serve.serve)
app.command("pull")(pull.pull)
app.command("import")(import_model.import_model)
app.command("models")(models.list_models)
app.command("rm")(models.remove)
app.add_typer(catalog.app, name="catalog")
app.add_typer(engines.app, name="engines")
app.command("chat")(chat)
app.command("complete")(complete.complete)
app.add_typer(batch.app, name="batch")
app.command("key")(key.key)
app.add_typer(keys.app, name="keys")
app.add_typer(projects.app, name="projects")
app.add_typer(limits.app, name="limits")
app.add_typer(fleet.app, name="fleet")
app.command("usage")(usage.usage)
app.command("doctor")(doctor)
app.command("check")(check.check)
app.command("replay")(replay.replay)
app.command("bench")(bench.bench)


# What a newcomer does first, and what it does.
_FIRST_STEPS: Final = (
    ("myna chat", N_("chat in the terminal; the first time, this downloads a model")),
    ("myna serve", N_("serve OpenAI's API and a web page on this machine")),
    ("myna models", N_("list the models that are here; --available: those that can be pulled")),
    ("myna doctor", N_("check the machine and the installation")),
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", is_eager=True),
) -> None:
    if version:
        typer.echo(f"myna {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        _show_first_steps()


def _show_first_steps() -> None:
    url = find_server(load_settings())
    if url is None:
        say(N_("Myna runs language models on this machine, behind OpenAI's API. Start with one of these:"))
    else:
        say(N_("Your server is running at {base_url}. Next:", base_url=url))
    say("")
    for command, meaning in _FIRST_STEPS:
        if url is None or command != "myna serve":
            typer.echo(f"  {command:12}  {translated(meaning)}")
    say("")
    say(N_("All commands: {command}", command="myna --help"))


def run() -> int:
    """Run the command line and return the exit code. A usage error is one sentence, like all errors."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    if is_chinese():
        translate_help(group)
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

"""The verbs and their order in `myna --help`."""

import typer

from myna import __version__
from myna.cli import check, complete, key, models, pull, replay, serve

app = typer.Typer(
    name="myna",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Language models on your own machine, behind OpenAI's API.

    Start with `myna serve`: it fetches a model the first time and prints a first request to paste.
    Every setting can also be a MYNA_* variable or a line of myna.toml (see docs/configuration.md).""",
)
app.command("serve")(serve.serve)
app.command("pull")(pull.pull)
app.command("models")(models.list_models)
app.command("rm")(models.remove)
app.command("complete")(complete.complete)
app.command("key")(key.key)
app.command("check")(check.check)
app.command("replay")(replay.replay)


@app.callback(invoke_without_command=True)
def root(
    version: bool = typer.Option(False, "--version", help="Show the version and leave.", is_eager=True),
) -> None:
    if version:
        typer.echo(f"myna {__version__}")
        raise typer.Exit

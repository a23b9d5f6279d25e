"""The pages of `--help` in Chinese: the texts of the verbs, and the words that typer puts around them."""

from collections.abc import Iterator
from typing import Any, Final

import typer
from typer.core import TyperGroup

from myna.cli.language import in_chinese
from myna.core.translatable import N_

# typer's own words, by the constants that hold them.
_HEADINGS: Final = {
    "OPTIONS_PANEL_TITLE": N_("Options"),
    "ARGUMENTS_PANEL_TITLE": N_("Arguments"),
    "COMMANDS_PANEL_TITLE": N_("Commands"),
    "DEFAULT_STRING": N_("[default: {}]"),
    "REQUIRED_LONG_STRING": N_("[required]"),
}
_USAGE: Final = N_("Usage: ")


def translate_help(group: TyperGroup) -> None:
    """Changes the commands, and typer's words for the rest of the process."""
    from typer import rich_utils  # with what it imports, a sixth of the command's start

    for name, heading in _HEADINGS.items():
        setattr(rich_utils, name, in_chinese(heading))

    context_class: Any = typer.Context.__mro__[1]  # the one that commands make

    class Formatter(context_class.formatter_class):  # type: ignore[misc]
        def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
            super().write_usage(prog, args, prefix or in_chinese(_USAGE))

    context_class.formatter_class = Formatter
    for _, holder in with_help(group):
        holder.help = in_chinese(holder.help)


def with_help(command: Any, parent: typer.Context | None = None) -> Iterator[tuple[str, Any]]:
    """All of the command and those below it that has a text in `.help`, each with the way to it."""
    context = typer.Context(
        command, info_name=command.name, parent=parent, help_option_names=["-h", "--help"]
    )
    way = context.command_path
    if command.help:
        yield way, command
    for parameter in (*command.params, command.get_help_option(context)):  # the last is made once, and kept
        if getattr(parameter, "help", None):
            yield f"{way} {parameter.name}", parameter
    for child in getattr(command, "commands", {}).values():
        yield from with_help(child, context)

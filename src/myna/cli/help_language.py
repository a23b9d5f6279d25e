"""The pages of `--help` in Chinese: the texts of the verbs, and the words that typer puts around them."""

from typing import Any

import typer
from typer import rich_utils
from typer.core import TyperGroup

from myna.cli.language import in_chinese

_HEADINGS = (
    "OPTIONS_PANEL_TITLE",
    "ARGUMENTS_PANEL_TITLE",
    "COMMANDS_PANEL_TITLE",
    "DEFAULT_STRING",
    "REQUIRED_LONG_STRING",
)


def speak_chinese(group: TyperGroup) -> None:
    """Changes the commands, and typer's words for the rest of the process."""
    for name in _HEADINGS:
        setattr(rich_utils, name, in_chinese(getattr(rich_utils, name)))

    context_class: Any = typer.Context.__mro__[1]  # the one that commands make

    class Formatter(context_class.formatter_class):  # type: ignore[misc]
        def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
            super().write_usage(prog, args, prefix or in_chinese("Usage: "))

    context_class.formatter_class = Formatter
    _translate(group)


def _translate(command: Any, parent: typer.Context | None = None) -> None:
    context = typer.Context(command, parent=parent, help_option_names=["-h", "--help"])
    command.help = in_chinese(command.help or "")
    for parameter in (*command.params, command.get_help_option(context)):  # the last is made once, and kept
        if text := getattr(parameter, "help", None):
            parameter.help = in_chinese(text)
    for child in getattr(command, "commands", {}).values():
        _translate(child, context)

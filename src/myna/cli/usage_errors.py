"""Mistakes in the command line itself, which typer reports as finished English sentences, made translatable
again from what its exceptions carry besides."""

import re
from collections.abc import Mapping
from typing import Any, Final

import typer
from pydantic import ValidationError

from myna.core.translatable import N_, Translatable

# These two are plain usage errors, which carry nothing but their sentence.
_NO_COMMAND: Final = re.compile(r"No such command (.*?)\.(?: Did you mean (.*)\?)?")
_EXTRA_ARGUMENTS: Final = re.compile(r"Got unexpected extra argument\(s\) \((.*)\)")


def explained(exc: typer.TyperException) -> str | Translatable:
    """What is wrong, as a sentence; empty where typer has shown the help instead."""
    message = str(getattr(exc, "format_message", lambda: str(exc))())
    error: Any = exc
    match type(exc).__name__:
        case "NoSuchOption" if error.possibilities:
            known = ", ".join(sorted(error.possibilities))
            return N_(
                "No such option: {option} (Possible options: {known}).", option=error.option_name, known=known
            )
        case "NoSuchOption":
            return N_("No such option: {option}.", option=error.option_name)
        case "BadOptionUsage" if message.endswith("does not take a value."):
            return N_("Option {option!r} does not take a value.", option=error.option_name)
        case "BadOptionUsage":
            return N_("Option {option!r} requires an argument.", option=error.option_name)
        case "MissingParameter" if error.param.param_type_name == "argument":
            return N_("Missing argument {name}.", name=error.param.get_error_hint())
        case "BadParameter" if error.param is not None:
            reason = _reason(exc.__cause__) or str(error.message)
            return N_("Invalid value for {name}: {reason}.", name=error.param.get_error_hint(), reason=reason)
    if found := _NO_COMMAND.fullmatch(message):
        if found[2]:
            return N_("No such command {name}. Did you mean {known}?", name=found[1], known=found[2])
        return N_("No such command {name}.", name=found[1])
    if found := _EXTRA_ARGUMENTS.fullmatch(message):
        return N_("Got unexpected extra argument(s) ({arguments}).", arguments=found[1])
    return message if not message or message.endswith((".", "?")) else f"{message}."


def _reason(cause: BaseException | None) -> str | Translatable:
    """Why a value is not accepted; empty where pydantic did not refuse it."""
    if not isinstance(cause, ValidationError):
        return ""
    error = cause.errors()[0]
    context: Mapping[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "int_parsing":
            return N_("Input should be a valid integer")
        case "float_parsing":
            return N_("Input should be a valid number")
        case "less_than_equal":
            return N_("Input should be less than or equal to {limit:g}", limit=context["le"])
        case "greater_than_equal":
            return N_("Input should be greater than or equal to {limit:g}", limit=context["ge"])
        case "value_error":
            value, is_choice, known = str(context["error"]).rstrip(".").partition(" is not one of ")
            return N_("{value} is not one of {known}", value=value, known=known) if is_choice else value
    return str(error["msg"])

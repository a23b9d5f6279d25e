"""Every message that the command line may show, read from the source: what is said, raised, or is help."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from myna.cli.root import app
from myna.core import errors

SOURCE: Final = Path(errors.__file__).parent.parent
# What these are called with is shown; `says` is how a pull reports to whoever watches.
_SAYING: Final = {"_tell", "say", "note", "print_error", "says", "translated", "ok", "advice", "wrong"}
_RAISED: Final = {
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
}
# Keyword arguments that are shown later.
_FIELDS: Final = {"help", "range", "meaning", "remedy", "title"}
# Layers whose errors only a client of the API sees, in English as OpenAI's are.
_WIRE_ONLY: Final = ("api", "generation", "serving", "web", "scheduling", "decoding", "app.py")


def template_of(node: ast.expr) -> str | None:
    """A literal or an f-string as a template with numbered fields; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.replace("{", "{{").replace("}", "}}")  # as in an f-string
    if not isinstance(node, ast.JoinedStr):
        return None
    text, num_fields = "", 0
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value).replace("{", "{{").replace("}", "}}")
        else:
            text += f"{{{num_fields}}}"
            num_fields += 1
    return text


def plain(template: str) -> str:
    """The table's key: a message without fields stands there as it is."""
    return template if "{0}" in template else template.replace("{{", "{").replace("}}", "}")


def spoken_messages() -> Iterator[tuple[str, str]]:
    """(place, key) of all that the code says or raises."""
    for path in sorted(SOURCE.rglob("*.py")):
        relative = path.relative_to(SOURCE)
        if relative.parts[0] in _WIRE_ONLY or "checks" in relative.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                for argument in _shown(node, relative.name):
                    template = template_of(argument) or ""
                    template = inspect.cleandoc(template) if "\n" in template else template
                    if template and any(letter.isalpha() for letter in template):
                        yield f"{relative}:{node.lineno}", plain(template)


def _shown(call: ast.Call, file: str) -> Iterator[ast.expr]:
    """What the call shows: its first argument, or a field of a table that is shown."""
    if call.args and _is_shown(call, file):
        yield from _alternatives(call.args[0])
    for keyword in call.keywords:
        if keyword.arg in _FIELDS:
            yield from _alternatives(keyword.value)


def _is_shown(call: ast.Call, file: str) -> bool:
    name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
    return name in _SAYING or name in _RAISED or (name == "ValueError" and file == "setting_values.py")


def _alternatives(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.IfExp):
        yield from _alternatives(node.body)
        yield from _alternatives(node.orelse)
    else:
        yield node


def help_messages() -> Iterator[tuple[str, str]]:
    """(place, text) of all help: verbs, arguments, options."""
    group = typer.main.get_command(app)
    for path, command in _commands("myna", group):
        if command.help:
            yield path, inspect.cleandoc(command.help)
        for parameter in command.params:
            if text := getattr(parameter, "help", None):
                yield f"{path} {parameter.name}", text


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(f"{path} {name}", child)


def messages() -> dict[str, str]:
    """Every key, and one place that shows it."""
    return {key: place for place, key in [*help_messages(), *spoken_messages()]}

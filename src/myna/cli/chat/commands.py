"""The commands that begin with a slash."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.table import Table
from rich.text import Text

from myna.cli.chat import files
from myna.cli.chat.clipboard import copy
from myna.cli.chat.editing import edited
from myna.cli.chat.parameters import PARAMETERS, find_parameter, read_value, shown_value
from myna.cli.chat.session import Chat
from myna.cli.language import translated
from myna.core.errors import InvalidRequest, OperatorError

Pairs = list[tuple[str, str]]
_CODE_BLOCK: Final = re.compile(r"^ *(`{3,}|~{3,})[^\n]*\n(.*?)^ *\1", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Command:
    """`argument` is how help shows what it takes; `choices` are candidates for Tab."""

    name: str
    argument: str
    run: Callable[[Chat, str], None]
    help: str
    choices: Callable[[Chat, str], Pairs] = lambda chat, typed: []


def is_command(text: str) -> bool:
    """A path such as /etc/hosts is none, and a space before the slash makes it text."""
    return re.match(r"/[\w?-]*(\s|$)", text) is not None


def run_command(chat: Chat, line: str) -> None:
    """Raises `MynaError` for what can't be done."""
    name, _, argument = line.partition(" ")
    if name not in BY_COMMAND:
        nearest = [known for known in BY_COMMAND if len(name) > 1 and known.startswith(name)]
        nearest = nearest or difflib.get_close_matches(name, BY_COMMAND, n=1, cutoff=0.5)
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else "/help lists them all."
        raise InvalidRequest(f"There is no command {name}; {hint}")
    BY_COMMAND[name].run(chat, argument.strip())


def _help(chat: Chat, argument: str) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    for command in COMMANDS:
        if not argument or command.name == f"/{argument.removeprefix('/')}":
            table.add_row(
                Text.assemble((command.name, "bold"), " ", (command.argument, "dim")),
                translated(command.help),
            )
    chat.console.print(table)
    if not argument:
        chat.note(
            "Enter sends; Alt-Enter or a backslash at the end begins another line; a paste is kept whole."
        )
        chat.note("Tab completes, Ctrl-R searches what you typed, Ctrl-X Ctrl-E opens your editor.")
        chat.note("Ctrl-C stops an answer; Ctrl-D leaves. A space before / makes a line plain text.")


def _system(chat: Chat, argument: str) -> None:
    if argument:
        chat.conversation.system = "" if argument == "-" else argument
    if chat.conversation.system:
        chat.note(f"Instructions: {chat.conversation.system}")
    else:
        chat.note("There are no instructions; give some with /system TEXT.")


def _model(chat: Chat, argument: str) -> None:
    models = chat.models()
    if not argument:
        for model in models:
            chat.console.print(("* " if model == chat.conversation.model else "  ") + model, markup=False)
        return
    if models and argument not in models:
        nearest = [model for model in models if argument.lower() in model.lower()]
        nearest = nearest or difflib.get_close_matches(argument, models, n=1, cutoff=0.4)
        hint = f"did you mean {' or '.join(nearest[:3])}?" if nearest else "/model lists them."
        raise InvalidRequest(f"The server has no model {argument}; {hint}")
    chat.conversation.model = argument
    chat.note(f"{argument} answers from now on.")


def _set(chat: Chat, argument: str) -> None:
    settings = chat.conversation.settings
    if not argument:
        _show_parameters(chat)
        return
    name, text = re.match(r"([^\s=]*)[\s=]*(.*)", argument, re.DOTALL).groups()  # type: ignore[union-attr]
    parameter = find_parameter(name)
    if text.strip() == "default":
        settings.pop(parameter.name, None)
    elif text.strip():
        settings[parameter.name] = read_value(parameter, text)
    value = shown_value(settings[parameter.name]) if parameter.name in settings else translated("default")
    chat.note(
        f"{parameter.name} is {value} ({translated(parameter.range)}: {translated(parameter.meaning)})."
    )


def _show_parameters(chat: Chat) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(translated("parameter"), no_wrap=True)
    for title in (translated("now"), translated("range"), translated("meaning")):
        table.add_column(title)
    for parameter in PARAMETERS:
        value = chat.conversation.settings.get(parameter.name)
        shown = (
            Text(translated("default"), style="dim")
            if value is None
            else Text(shown_value(value), style="bold")
        )
        table.add_row(parameter.name, shown, Text(translated(parameter.range)), translated(parameter.meaning))
    chat.console.print(table)
    chat.note("/set NAME VALUE changes one, /set NAME default leaves it to the server.")


def _retry(chat: Chat, argument: str) -> None:
    question = chat.conversation.take_back()
    if question is None:
        raise OperatorError("There is no question to ask again; type one.")
    chat.ask(question)


def _edit(chat: Chat, argument: str) -> None:
    question = chat.conversation.last_question or ""
    text = edited(question)
    if text is None:
        chat.draft = question  # without an editor, the line itself is one
        chat.conversation.take_back()
    elif not text.strip() or text == question:
        chat.note("Nothing was changed.")
    else:
        chat.conversation.take_back()
        chat.console.print(text, style="cyan", markup=False)
        chat.ask(text)


def _save(chat: Chat, argument: str) -> None:
    path = files.save(chat.conversation, argument, chat.path)
    if path.suffix == ".json":
        chat.path = path
    chat.note(f"Saved in {path}.")


def _load(chat: Chat, argument: str) -> None:
    conversation, path = files.load(argument)
    conversation.model = conversation.model or chat.conversation.model
    chat.conversation, chat.path = conversation, path
    chat.note(f"Loaded {len(conversation.turns)} turns; {conversation.model} answers.")
    if answer := conversation.last_answer:
        chat.show(answer)


def _copy(chat: Chat, argument: str) -> None:
    text = chat.conversation.last_answer
    if text is None:
        raise OperatorError("There is no answer to copy yet.")
    if argument == "code":
        blocks = _CODE_BLOCK.findall(text)
        if not blocks:
            raise OperatorError("The last answer has no code block; /copy takes all of it.")
        text = blocks[-1][1]
    elif argument:
        raise InvalidRequest("/copy takes nothing, or the word code for the last code block.")
    chat.note(f"Copied {len(text)} characters ({copy(text)}).")


def _reset(chat: Chat, argument: str) -> None:
    chat.conversation.turns.clear()
    chat.path = None
    chat.note("The conversation is empty again; model, instructions and settings stay.")


def _stats(chat: Chat, argument: str) -> None:
    if argument not in ("", "on", "off"):
        raise InvalidRequest("/stats takes on or off.")
    chat.shows_stats = argument == "on" if argument else not chat.shows_stats
    chat.note("Each answer tells its speed." if chat.shows_stats else "Answers don't tell their speed.")


def _exit(chat: Chat, argument: str) -> None:
    chat.is_done = True


def _words(*words: str) -> Callable[[Chat, str], Pairs]:
    return lambda chat, typed: [(word, "") for word in words]


def _model_choices(chat: Chat, typed: str) -> Pairs:
    try:
        return [(model, "") for model in chat.models()]
    except OperatorError:
        return []


def _set_choices(chat: Chat, typed: str) -> Pairs:
    return [(parameter.name, translated(parameter.range)) for parameter in PARAMETERS]


def _file_choices(chat: Chat, typed: str) -> Pairs:
    return [(name, "") for name in files.candidates(typed)]


COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        "/help",
        "[COMMAND]",
        _help,
        help="this list",
        choices=lambda chat, typed: [(c.name, "") for c in COMMANDS],
    ),
    Command(
        "/system", "[TEXT | -]", _system, help="show, give or remove instructions for the whole conversation"
    ),
    Command(
        "/model",
        "[ID]",
        _model,
        help="list the models, or choose the one that answers",
        choices=_model_choices,
    ),
    Command("/set", "[NAME [VALUE]]", _set, help="show or change how words are drawn", choices=_set_choices),
    Command("/retry", "", _retry, help="ask the last question again"),
    Command("/edit", "", _edit, help="change the last question in your editor ($EDITOR) and ask it"),
    Command(
        "/save",
        "[FILE]",
        _save,
        help="keep the conversation: .json to load again, .md to read",
        choices=_file_choices,
    ),
    Command(
        "/load",
        "FILE",
        _load,
        help="go on with a conversation that was saved as .json",
        choices=_file_choices,
    ),
    Command(
        "/copy", "[code]", _copy, help="copy the last answer, or its last code block", choices=_words("code")
    ),
    Command("/reset", "", _reset, help="forget what was said"),
    Command(
        "/stats",
        "[on | off]",
        _stats,
        help="tell tokens a second and the time to the first",
        choices=_words("on", "off"),
    ),
    Command("/exit", "", _exit, help="leave, as Ctrl-D does"),
)
BY_COMMAND: Final = {command.name: command for command in COMMANDS}

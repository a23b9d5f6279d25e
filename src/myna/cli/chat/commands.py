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
from myna.cli.language import _, translated
from myna.core.errors import InvalidRequest, OperatorError
from myna.core.translatable import N_, Translatable

Pairs = list[tuple[str, str]]
_CODE_BLOCK: Final = re.compile(r"^ *(`{3,}|~{3,})[^\n]*\n(.*?)^ *\1", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Command:
    """`argument` is how help shows what it takes; `choices` are candidates for Tab."""

    name: str
    argument: str
    run: Callable[[Chat, str], None]
    help: Translatable
    choices: Callable[[Chat, str], Pairs] = lambda chat, typed: []


def is_command(text: str) -> bool:
    """A path such as /etc/hosts is not a command, and a space before the slash makes a line text."""
    return re.match(r"/[\w?-]*(\s|$)", text) is not None


def run_command(chat: Chat, line: str) -> None:
    """Raises `MynaError` for what can't be done."""
    name, _, argument = line.partition(" ")
    name = _NAMES_ELSEWHERE.get(name, name)
    if name not in BY_COMMAND:
        nearest = [known for known in BY_COMMAND if len(name) > 1 and known.startswith(name)]
        nearest = nearest or difflib.get_close_matches(name, BY_COMMAND, n=1, cutoff=0.5)
        hint = (
            N_("did you mean {name}?", name=" or ".join(nearest)) if nearest else N_("/help lists them all.")
        )
        raise InvalidRequest(N_("There is no command {name}; {hint}", name=name, hint=hint))
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
            N_(
                "Enter sends; Alt-Enter or a backslash at the end starts a new line; a paste may have "
                "many lines."
            )
        )
        chat.note(N_("Tab completes, Ctrl-R searches your input history, Ctrl-X Ctrl-E opens your editor."))
        chat.note(N_("Ctrl-C stops an answer; Ctrl-D quits. A space before / makes the line plain text."))


def _system(chat: Chat, argument: str) -> None:
    if argument:
        chat.conversation.system = "" if argument == "-" else argument
    if chat.conversation.system:
        chat.note(N_("Instructions: {text}", text=chat.conversation.system))
    else:
        chat.note(N_("There are no instructions; set them with /system TEXT."))


def _model(chat: Chat, argument: str) -> None:
    models = chat.models()
    if not argument:
        for model in models:
            chat.console.print(("* " if model == chat.conversation.model else "  ") + model, markup=False)
        return
    if models and argument not in models:
        nearest = [model for model in models if argument.lower() in model.lower()]
        nearest = nearest or difflib.get_close_matches(argument, models, n=1, cutoff=0.4)
        hint = (
            N_("did you mean {name}?", name=" or ".join(nearest[:3])) if nearest else N_("/model lists them.")
        )
        raise InvalidRequest(N_("The server has no model {model}; {hint}", model=argument, hint=hint))
    chat.conversation.model = argument
    chat.note(N_("{model} answers from now on.", model=argument))


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
    value = shown_value(settings[parameter.name]) if parameter.name in settings else _("default")
    chat.note(
        N_(
            "{parameter} is {value} ({range}: {meaning}).",
            parameter=parameter.name,
            value=value,
            range=parameter.range,
            meaning=parameter.meaning,
        )
    )


def _show_parameters(chat: Chat) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(_("parameter"), no_wrap=True)
    for title in (_("now"), _("range"), _("meaning")):
        table.add_column(title)
    for parameter in PARAMETERS:
        value = chat.conversation.settings.get(parameter.name)
        shown = Text(_("default"), style="dim") if value is None else Text(shown_value(value), style="bold")
        table.add_row(parameter.name, shown, Text(translated(parameter.range)), translated(parameter.meaning))
    chat.console.print(table)
    chat.note(N_("/set NAME VALUE changes a parameter; /set NAME default leaves it to the server."))


def _retry(chat: Chat, argument: str) -> None:
    question = chat.conversation.take_back()
    if question is None:
        raise OperatorError(N_("There is no question to ask again; type one."))
    chat.ask(question)


def _edit(chat: Chat, argument: str) -> None:
    question = chat.conversation.last_question or ""
    text = edited(question)
    if text is None:
        chat.draft = question  # without an editor, it is edited at the prompt
        chat.conversation.take_back()
    elif not text.strip() or text == question:
        chat.note(N_("Nothing was changed."))
    else:
        chat.conversation.take_back()
        chat.console.print(text, style="cyan", markup=False)
        chat.ask(text)


def _save(chat: Chat, argument: str) -> None:
    path = files.save(chat.conversation, argument, chat.path)
    if path.suffix == ".json":
        chat.path = path
    chat.note(N_("Saved to {path}.", path=path))


def _load(chat: Chat, argument: str) -> None:
    conversation, path = files.load(argument)
    conversation.model = conversation.model or chat.conversation.model
    chat.conversation, chat.path = conversation, path
    chat.note(
        N_(
            "Loaded {num_messages} messages; {model} answers.",
            num_messages=len(conversation.turns),
            model=conversation.model,
        )
    )
    if answer := conversation.last_answer:
        chat.show(answer)


def _copy(chat: Chat, argument: str) -> None:
    text = chat.conversation.last_answer
    if text is None:
        raise OperatorError(N_("There is no answer to copy yet."))
    if argument == "code":
        blocks = _CODE_BLOCK.findall(text)
        if not blocks:
            raise OperatorError(N_("The last answer has no code block; /copy takes all of it."))
        text = blocks[-1][1]
    elif argument:
        raise InvalidRequest(N_("/copy takes no argument, or `code` for the last code block."))
    chat.note(
        N_("Copied {num_characters} characters ({program}).", num_characters=len(text), program=copy(text))
    )


def _reset(chat: Chat, argument: str) -> None:
    chat.conversation.turns.clear()
    chat.path = None
    chat.note(N_("The conversation is empty again; the model, instructions and parameters are kept."))


def _stats(chat: Chat, argument: str) -> None:
    if argument not in ("", "on", "off"):
        raise InvalidRequest(N_("/stats takes on or off."))
    chat.shows_stats = argument == "on" if argument else not chat.shows_stats
    chat.note(
        N_("The speed of each answer is shown.")
        if chat.shows_stats
        else N_("The speed of answers is not shown.")
    )


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
        help=N_("this list"),
        choices=lambda chat, typed: [(c.name, "") for c in COMMANDS],
    ),
    Command(
        "/system",
        "[TEXT | -]",
        _system,
        help=N_("show, set or remove the instructions for the whole conversation"),
    ),
    Command(
        "/model",
        "[ID]",
        _model,
        help=N_("list the models, or choose the one that answers"),
        choices=_model_choices,
    ),
    Command(
        "/set",
        "[NAME [VALUE]]",
        _set,
        help=N_("show or change the sampling parameters"),
        choices=_set_choices,
    ),
    Command("/retry", "", _retry, help=N_("ask the last question again")),
    Command("/edit", "", _edit, help=N_("edit the last question in your editor ($EDITOR) and ask it again")),
    Command(
        "/save",
        "[FILE]",
        _save,
        help=N_("save the conversation: .json to load it later, .md to read it"),
        choices=_file_choices,
    ),
    Command(
        "/load",
        "FILE",
        _load,
        help=N_("continue a conversation that was saved as .json"),
        choices=_file_choices,
    ),
    Command(
        "/copy",
        "[code]",
        _copy,
        help=N_("copy the last answer, or its last code block"),
        choices=_words("code"),
    ),
    Command("/reset", "", _reset, help=N_("clear the conversation")),
    Command(
        "/stats",
        "[on | off]",
        _stats,
        help=N_("show tokens per second and the time to the first token"),
        choices=_words("on", "off"),
    ),
    Command("/exit", "", _exit, help=N_("quit, as Ctrl-D does")),
)
BY_COMMAND: Final = {command.name: command for command in COMMANDS}
# What the same commands are called by `ollama run` and by shells.
_NAMES_ELSEWHERE: Final = {"/bye": "/exit", "/quit": "/exit", "/clear": "/reset", "/?": "/help"}

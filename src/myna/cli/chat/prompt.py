"""The input line: history, completion, multiple lines."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

from myna.cli.language import _

_STYLE: Final = Style.from_dict({"prompt": "ansicyan bold", "bottom-toolbar": "noreverse"})

# The candidates for a command's argument, from what is typed of it so far.
Candidates = Callable[[str], Iterable[tuple[str, str]]]


class CommandCompleter(Completer):
    """Names of commands after `/`, then what the command takes. `commands` maps names to their meaning
    and candidates."""

    def __init__(self, commands: dict[str, tuple[str, Candidates]]) -> None:
        self._commands = commands

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        line = document.text_before_cursor
        if not line.startswith("/") or "\n" in line:
            return
        name, space, argument = line.partition(" ")
        if not space:
            for known, (meaning, _) in self._commands.items():
                if known.startswith(name):
                    yield Completion(known, -len(name), display_meta=meaning)
        elif name in self._commands:
            for candidate, meaning in self._commands[name][1](argument):
                if candidate.lower().startswith(argument.lower()):
                    yield Completion(candidate, -len(argument), display_meta=meaning)


def open_history(path: Path) -> History:
    """Stored in a file that only its owner can read; in memory if that can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        path.chmod(0o600)
        path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def make_prompt(history: History, completer: Completer) -> "PromptSession[str]":
    """Enter sends; Alt-Enter, or a backslash at a line's end, starts a new line; a paste may have many lines.
    Ctrl-C clears the line; on an empty line it first warns, then quits as Ctrl-D does."""
    leaving = _Leaving()
    prompt: PromptSession[str] = PromptSession(
        [("class:prompt", "> ")],
        prompt_continuation="  ",
        multiline=True,
        history=history,
        completer=completer,
        complete_while_typing=False,
        key_bindings=_keys(leaving),
        bottom_toolbar=lambda: [("", leaving.warning)] if leaving.warning else None,
        style=_STYLE,
        enable_open_in_editor=True,
    )
    prompt.default_buffer.on_text_changed += lambda buffer: leaving.stay()
    return prompt


@dataclass(slots=True)
class _Leaving:
    """`warning` is shown between the first Ctrl-C and the second."""

    warning: str = ""

    def stay(self) -> None:
        self.warning = ""

    def ask(self) -> None:
        self.warning = _("Press Ctrl-C again, or Ctrl-D, to quit.")


def _keys(leaving: _Leaving) -> KeyBindings:
    keys = KeyBindings()
    in_line = has_focus(DEFAULT_BUFFER)  # and not in the line of a search

    @keys.add("enter", filter=in_line)
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.char_before_cursor == "\\" and buffer.document.is_cursor_at_the_end:
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=in_line)
    def begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c", filter=in_line)
    @keys.add("<sigint>")
    def empty_or_leave(event: KeyPressEvent) -> None:
        buffer = event.app.current_buffer
        if buffer.text:
            buffer.save_to_undo_stack()
            buffer.text = ""
        elif leaving.warning:
            event.app.exit(exception=EOFError)
        else:
            leaving.ask()

    return keys

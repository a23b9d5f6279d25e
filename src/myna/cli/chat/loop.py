"""The two ways to run a chat: at the terminal until the user quits, or for one question."""

import sys
from contextlib import suppress
from functools import partial

from myna.cli.chat.asking import ask
from myna.cli.chat.commands import COMMANDS, is_command, run_command
from myna.cli.chat.keys import can_draw
from myna.cli.chat.prompt import CommandCompleter, make_prompt, open_history
from myna.cli.chat.server import with_key_advice
from myna.cli.chat.session import Chat, speed
from myna.cli.chat.views import MarkdownView, PlainView
from myna.cli.console import note
from myna.cli.language import translated
from myna.core.errors import MynaError
from myna.core.translatable import N_
from myna.settings import load_settings


def talk(chat: Chat) -> None:
    """Until /exit, Ctrl-D, or Ctrl-C twice."""
    chat.note(
        N_(
            "{model} at {base_url}. Type /help for commands; Ctrl-D quits.",
            model=chat.conversation.model,
            base_url=chat.target.base_url,
        )
    )
    completer = CommandCompleter(
        {command.name: (translated(command.help), partial(command.choices, chat)) for command in COMMANDS}
    )
    prompt = make_prompt(open_history(load_settings({}).home / "chat_history"), completer)
    while not chat.is_done:
        draft, chat.draft = chat.draft, ""
        with suppress(KeyboardInterrupt):  # Ctrl-C here interrupts anything but an answer
            try:
                _handle(chat, prompt.prompt(default=draft))
            except EOFError:
                return


def _handle(chat: Chat, text: str) -> None:
    try:
        if is_command(text):
            run_command(chat, text)
        elif text.strip():
            chat.ask(text.strip())
    except MynaError as exc:
        chat.complain(exc)


def answer_once(chat: Chat, question: str) -> None:
    """One question and its answer, as plain text unless at a terminal. Raises what ended it."""
    chat.conversation.ask(question)
    is_watched = sys.stdin.isatty() and can_draw()
    view = MarkdownView(chat.console) if is_watched else PlainView(sys.stdout, shows_thoughts=False)
    outcome = ask(chat.target, chat.conversation, view, counts_tokens=chat.shows_stats)
    if chat.shows_stats and outcome.num_tokens:
        note(speed(outcome))
    if outcome.error:
        raise with_key_advice(outcome.error)
    if outcome.turn.is_stopped:
        raise KeyboardInterrupt
    if outcome.finish_reason == "length":
        note(N_("The answer reached its maximum length; allow more with --set max_tokens=NUMBER."))

"""A chat at the terminal: reads lines, runs commands and asks questions until the user quits."""

import sys
from pathlib import Path

from rich.console import Console

from myna.cli.chat.asking import Outcome, ask
from myna.cli.chat.conversation import Conversation
from myna.cli.chat.keys import can_draw
from myna.cli.chat.server import ChatServer, with_chat_advice
from myna.cli.chat.views import MarkdownView, PlainView, View
from myna.cli.client import list_models
from myna.cli.language import _, translated
from myna.core.errors import MynaError
from myna.core.translatable import N_, Translatable


class Chat:
    """What the commands work on. `draft` is what the next prompt begins with."""

    def __init__(self, target: ChatServer, conversation: Conversation, *, shows_stats: bool) -> None:
        self.target = target
        self.conversation = conversation
        self.shows_stats = shows_stats
        self.console = Console(highlight=False)
        self.draft = ""
        self.path: Path | None = None  # where this conversation was saved, or comes from
        self.is_done = False
        self._models: list[str] | None = None

    def note(self, message: str | Translatable) -> None:
        """A dim line about the chat itself."""
        self.console.print(translated(message), style="dim", markup=False)

    def complain(self, exc: MynaError) -> None:
        """Show what went wrong; the chat continues."""
        self.console.print(translated(exc.text), style="red", markup=False)

    def models(self) -> list[str]:
        """The server's models, requested once. Raises `OperatorError`."""
        if self._models is None:
            self._models = list_models(self.target.base_url, self.target.key)
        return self._models

    def ask(self, text: str) -> None:
        self.conversation.ask(text)
        outcome = ask(self.target, self.conversation, self._view(), counts_tokens=self.shows_stats)
        if outcome.error:
            self.complain(with_chat_advice(outcome.error, self.conversation.model))
        elif outcome.turn.is_stopped:
            self.note(
                N_("Stopped; the partial answer is kept.")
                if outcome.turn.text
                else N_("Stopped; /retry asks again.")
            )
        elif outcome.finish_reason == "length":
            self.note(
                N_(
                    "The answer reached its maximum length; ask the model to continue, or see /set "
                    "max_tokens."
                )
            )
        if self.shows_stats and outcome.num_tokens:
            self.note(speed(outcome))
        self.console.print()

    def show(self, answer: str) -> None:
        """Show an earlier answer again."""
        view = self._view()
        view.say(answer)
        view.finish()

    def _view(self) -> View:
        return MarkdownView(self.console) if can_draw() else PlainView(sys.stdout, shows_thoughts=True)


def speed(outcome: Outcome) -> str:
    """The speed of an answer."""
    return _(
        "{num_tokens} tokens, {tokens_per_s:.1f} per second, the first after {first_s:.2f} s",
        num_tokens=outcome.num_tokens,
        tokens_per_s=outcome.tokens_per_s,
        first_s=outcome.first_s,
    )

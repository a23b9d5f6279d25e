"""One question to the server: its answer is shown as it arrives, stored, and timed. Ctrl-C ends it early."""

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

from myna.cli.chat.conversation import Conversation, Turn
from myna.cli.chat.keys import stop_key
from myna.cli.chat.server import ChatServer
from myna.cli.chat.views import View
from myna.cli.client import ChatDelta, stream_chat
from myna.core.errors import MynaError


@dataclass(slots=True)
class Outcome:
    """The outcome of a question. `first_s` and `last_s` are seconds since it was sent."""

    turn: Turn
    finish_reason: str = ""
    num_tokens: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    error: MynaError | None = None

    @property
    def tokens_per_s(self) -> float:
        """Of the tokens after the first, so that the wait for it doesn't count."""
        return (self.num_tokens - 1) / max(self.last_s - self.first_s, 1e-6) if self.num_tokens > 1 else 0.0


def ask(target: ChatServer, conversation: Conversation, view: View, *, counts_tokens: bool) -> Outcome:
    """Send the conversation and add the answer to it, or as much of it as arrived."""
    body = conversation.body()
    if counts_tokens:
        body["stream_options"] = {"include_usage": True}
    outcome = Outcome(Turn("assistant", ""))
    view.wait()
    started_s = time.monotonic()
    try:
        with closing(_pieces(target, body, outcome)) as pieces:
            for piece in pieces:
                _take(piece, outcome, time.monotonic() - started_s)
                if piece.reasoning:
                    view.think(piece.reasoning)
                if piece.text:
                    view.say(piece.text)
    except MynaError as exc:
        outcome.error = exc
        outcome.turn.is_stopped = True
    view.finish()
    conversation.answer(outcome.turn)
    return outcome


def _take(piece: ChatDelta, outcome: Outcome, now_s: float) -> None:
    if piece.text or piece.reasoning:
        outcome.first_s = outcome.first_s or now_s
        outcome.last_s = now_s
        outcome.num_tokens += 1  # a server that doesn't count sends about one token per piece
    outcome.turn.text += piece.text
    outcome.turn.reasoning += piece.reasoning
    outcome.finish_reason = piece.finish_reason or outcome.finish_reason
    outcome.num_tokens = piece.num_tokens or outcome.num_tokens


def _pieces(
    target: ChatServer, body: dict[str, object], outcome: Outcome
) -> Generator[ChatDelta, None, None]:
    """Until the end, or Ctrl-C, which interrupts a wait for the server, but never a redraw."""
    with stop_key() as key, closing(stream_chat(target.base_url, target.key, body)) as pieces:
        try:
            while True:
                with key.breaking():
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield piece
        except KeyboardInterrupt:
            outcome.turn.is_stopped = True

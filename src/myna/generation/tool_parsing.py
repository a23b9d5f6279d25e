"""One choice's answer as pieces: what was said and which tools are called, with their log-probabilities."""

from typing import NamedTuple

from myna.api.chat.response_spec import Plan
from myna.core.events import FinishReason, TokenLogprob
from myna.prompts.tool_reader import CallReader, Piece, Said


class Read(NamedTuple):
    """A piece, and the entries of the tokens that it came from; calls have none, as at OpenAI."""

    piece: Piece
    entries: tuple[TokenLogprob, ...]


class ChoiceReader:
    """Without tools every text is said as it is."""

    def __init__(self, plan: Plan) -> None:
        self._reader = CallReader(plan.tool_format, plan.tools) if plan.tool_format else None
        self._held: tuple[TokenLogprob, ...] = ()

    def feed(self, text: str, entries: tuple[TokenLogprob, ...]) -> list[Read]:
        """The pieces of the answer's next text."""
        if self._reader is None:
            return [Read(Said(text), entries)]
        self._held += entries
        return self._with_entries(self._reader.feed(text))

    def end(self) -> list[Read]:
        """What was held back."""
        return [] if self._reader is None else self._with_entries(self._reader.end())

    def _with_entries(self, pieces: list[Piece]) -> list[Read]:
        """Entries wait with their text; they go with the first that is said, or with the call."""
        reads: list[Read] = []
        for piece in pieces:
            reads.append(Read(piece, self._held if isinstance(piece, Said) else ()))
            self._held = ()
        return reads


def finish_reason(reason: FinishReason, has_called: bool, plan: Plan) -> str:
    """An answer that ended by itself after calls ended for their sake."""
    called = "function_call" if plan.has_functions else "tool_calls"
    return called if has_called and reason == "stop" else reason

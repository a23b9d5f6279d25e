"""A model's thought (reasoning) before its answer: where it ends, what is shown of it, what it may
contain."""

from codecs import getincrementaldecoder
from collections.abc import Sequence
from typing import Final, Literal

from myna.core.overlap import overlap
from myna.core.requests import Thought

_Phase = Literal["before", "inside", "behind", "over"]
_WHITE: Final = b" \t\r\n"


class ThoughtText:
    """Reads tokens up to the first one after the thought.

    White space around the thought, and between it and the answer, is never shown. `answer` are tokens that
    belong, or may belong, to the answer: more than one if it turns out to begin without a thought.
    `num_tokens` counts those and the thought's. Once `is_over`, don't call `push` any more.
    """

    __slots__ = (
        "_begin",
        "_decoder",
        "_end",
        "_has_shown",
        "_held",
        "_phase",
        "_pieces",
        "answer",
        "num_tokens",
        "rest",
    )

    def __init__(self, pieces: Sequence[bytes], thought: Thought) -> None:
        self._pieces = pieces
        self._begin, self._end = thought.begin.encode(), thought.end.encode()
        self._phase: _Phase = "inside" if thought.is_open else "before"
        self._held = b""
        self._has_shown = False
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self.num_tokens = 0
        self.answer: list[int] = []
        self.rest = b""  # bytes of the answer that share a token with the end marker

    @property
    def is_over(self) -> bool:
        return self._phase == "over"

    @property
    def has_ended(self) -> bool:
        """The end marker was seen: the answer, or white space before it, follows."""
        return self._phase in ("behind", "over")

    def push(self, token: int) -> str:
        """Add the next token; return the part of the thought that can be shown now."""
        data = self._pieces[token]
        self.num_tokens += 1
        if self._phase == "before":
            return self._open(token, data)
        if self._phase == "behind":
            if data.strip(_WHITE):
                self._phase = "over"
                self.answer.append(token)
            return ""
        return self._think(data)

    def finish(self) -> str:
        """Generation ended within the thought: return what was held back of it."""
        held, self._held = self._held, b""
        return self._decoder.decode(held.rstrip(_WHITE), final=True) if self._phase == "inside" else ""

    def _open(self, token: int, data: bytes) -> str:
        self._held += data
        self.answer.append(token)
        text = self._held.lstrip(_WHITE)
        if text.startswith(self._begin):
            self._phase, self._held = "inside", b""
            self.answer.clear()
            return self._think(text[len(self._begin) :])
        if not self._begin.startswith(text):
            self._phase = "over"
        return ""

    def _think(self, data: bytes) -> str:
        text = self._held + data
        at = text.find(self._end)
        if at >= 0:
            self._phase, self._held = "behind", b""
            self.rest = text[at + len(self._end) :].lstrip(_WHITE)
            if self.rest:
                self._phase = "over"
            return self._shown(text[:at].rstrip(_WHITE), is_last=True)
        shown = text[: len(text) - overlap(text, self._end)].rstrip(_WHITE)
        self._held = text[len(shown) :]
        return self._shown(shown)

    def _shown(self, data: bytes, *, is_last: bool = False) -> str:
        if not self._has_shown:
            data = data.lstrip(_WHITE)
            self._has_shown = bool(data)
        return self._decoder.decode(data, final=is_last)


class ThoughtConstraint:
    """Which tokens are allowed while a thought precedes a grammar: any text, but no end of the answer; first
    the begin marker, if the prompt lacks it; the end marker once the thought has `thought.max_tokens`.

    `opening` and `ending` are the tokens of the two markers. `is_waiting` while the answer may also begin
    without a thought.
    """

    __slots__ = ("_ending", "_num_tokens", "_opening", "_pieces", "_text", "_thought")

    def __init__(
        self, pieces: Sequence[bytes], thought: Thought, opening: Sequence[int], ending: Sequence[int]
    ) -> None:
        self._pieces = pieces
        self._thought = thought
        self._opening = () if thought.is_open else tuple(opening)
        self._ending = tuple(ending)
        self._num_tokens = 0
        self._text = ThoughtText(pieces, thought)

    @property
    def is_waiting(self) -> bool:
        return self._thought.is_optional and self._num_tokens == 0

    @property
    def opening(self) -> int:
        """The first token of the begin marker."""
        return self._opening[0]

    @property
    def forced(self) -> int | None:
        """The only token that is allowed; None if any text is."""
        if self._num_tokens < len(self._opening):
            return self._opening[self._num_tokens]
        beyond = self._num_tokens - len(self._opening) - self._thought.max_tokens
        return self._ending[beyond % len(self._ending)] if beyond >= 0 and self._thought.max_tokens else None

    def advance(self, token: int) -> bool:
        """Add the next token; True if the thought has ended with it."""
        self._num_tokens += 1
        self._text.push(token)
        return self._text.has_ended

    def copy(self) -> "ThoughtConstraint":
        """The same constraint in its initial state, for another choice of the request."""
        return ThoughtConstraint(self._pieces, self._thought, self._opening, self._ending)

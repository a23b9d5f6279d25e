"""A model's thought (reasoning) before its answer: where it ends, what is shown of it, what it may
contain."""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from myna.core.overlap import overlap
from myna.core.requests import NO_CALLS, CallMarks, Thought
from myna.decoding.token_classifier import WHITE, ThoughtDecoder, TokenClassifier

_Phase = Literal["before", "inside", "behind", "answer", "over"]


class ThoughtReader(Protocol):
    """Separates a choice's thoughts from its answer. `classifier` has what each token contributes to it."""

    classifier: TokenClassifier

    @property
    def is_over(self) -> bool:
        """All that follows is the answer: don't call `push` any more."""
        ...

    def push(self, data: bytes) -> str:
        """Add the next token's bytes; return the part of a thought that can be shown now."""
        ...

    def finish(self) -> str:
        """The choice has ended: return what was held back of a thought, and decide all tokens."""
        ...


class ThoughtText:
    """Reads thoughts between two marks, up to the answer.

    White space around a thought, and between it and the answer, is never shown; neither are the marks that
    surround the answer in some formats (`thought.answer`, `thought.close`), after which there may be another
    thought, or what ends the turn (`thought.ending`). `is_constrained`: the answer begins with a token of its
    own, so that the rest of the end mark's token isn't shown. `calls`: where calls may begin; white space
    that belongs to such a mark is kept.
    """

    __slots__ = (
        "_begin",
        "_calls",
        "_close",
        "_decoder",
        "_end",
        "_ending",
        "_is_constrained",
        "_opening",
        "_phase",
        "classifier",
    )

    def __init__(
        self, thought: Thought, *, is_constrained: bool = False, calls: CallMarks = NO_CALLS
    ) -> None:
        marks = [mark.encode() for mark in calls.anywhere]
        self._calls = [mark for mark in marks if mark != mark.lstrip(WHITE)]
        self._begin, self._end = thought.begin.encode(), thought.end.encode()
        self._opening, self._close = thought.answer.encode(), thought.close.encode()
        self._ending = thought.ending.encode()
        self._is_constrained = is_constrained
        self._phase: _Phase = "inside" if thought.is_open else "before"
        self._decoder = ThoughtDecoder()
        self.classifier = TokenClassifier()

    @property
    def is_over(self) -> bool:
        return self._phase == "over"

    @property
    def has_ended(self) -> bool:
        """The end mark was seen: the answer, or white space before it, follows."""
        return self._phase not in ("before", "inside")

    def push(self, data: bytes) -> str:
        self.classifier.add(data)
        return self._read()

    def finish(self) -> str:
        held, shown = self.classifier.held, ""
        if self._phase == "inside":
            shown = self._decoder.show(held.rstrip(WHITE), is_last=True)
            self.classifier.decide(len(held), "thought")
        elif self._phase == "before":  # perhaps a part of the begin mark, perhaps not
            self.classifier.decide(len(held), "answer")
        else:  # a part of a mark around the answer
            self.classifier.decide(len(held), "thought")
        self._phase = "over"
        return shown

    def _read(self) -> str:
        steps: dict[str, Callable[[], tuple[str, bool]]] = {
            "before": self._open,
            "inside": self._think,
            "behind": self._begin_answer,
            "answer": self._answer,
        }
        shown, goes_on = "", True
        while goes_on and self._phase != "over":
            text, goes_on = steps[self._phase]()
            shown += text
        return shown

    def _open(self) -> tuple[str, bool]:
        """White space before an answer without a thought belongs to the answer."""
        text = self.classifier.held.lstrip(WHITE)
        num_white = len(self.classifier.held) - len(text)
        for mark, phase in ((self._begin, "inside"), (self._opening, "answer")):
            if mark and text.startswith(mark):
                self.classifier.decide(num_white + len(mark), "thought")
                self._phase = "inside" if phase == "inside" else "answer"
                return "", True
            if mark.startswith(text):
                return "", False
        self._phase = "answer"
        return "", True

    def _think(self) -> tuple[str, bool]:
        held = self.classifier.held
        at = held.find(self._end)
        if at >= 0:
            shown = self._decoder.show(held[:at].rstrip(WHITE), is_last=True)
            self.classifier.decide(at + len(self._end), "thought")
            if self._is_constrained:
                self.classifier.drop_rest_of_token()
            self._phase = "behind"
            return shown, True
        ready = held[: len(held) - overlap(held, self._end)].rstrip(WHITE)
        return self._decoder.show(self.classifier.decide(len(ready), "thought")), False

    def _begin_answer(self) -> tuple[str, bool]:
        """After a thought: white space, another thought, or the answer."""
        held = self.classifier.held
        text = held.lstrip(WHITE)
        is_open = any(mark.startswith(held) for mark in self._calls)
        is_call = any(held.startswith(mark) for mark in self._calls)
        if not (is_open or is_call):
            self.classifier.decide(len(held) - len(text), "markup" if text else "thought")
        if not text:
            return "", False
        for mark, phase in ((self._begin, "inside"), (self._opening, "answer")):
            if mark and text.startswith(mark):
                self.classifier.decide(len(self.classifier.held) - len(text) + len(mark), "thought")
                self._phase = "inside" if phase == "inside" else "answer"
                return "", True
            if mark.startswith(text):
                return "", False
        if self._ending and self._ending.startswith(text):
            return "", False
        if is_open and not is_call:
            return "", False
        self._phase = "answer"
        return "", True

    def _answer(self) -> tuple[str, bool]:
        held = self.classifier.held
        if not self._close:
            self.classifier.decide(len(held), "answer")
            self._phase = "over"
            return "", False
        at = held.find(self._close)
        if at >= 0:
            self.classifier.decide(at, "answer")
            self.classifier.decide(len(self._close), "thought")
            self._phase = "behind"
            return "", True
        num_held = max(overlap(held, self._close), overlap(held, self._ending))
        self.classifier.decide(len(held) - num_held, "answer")
        return "", False


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
        self._text = ThoughtText(thought)

    @property
    def is_waiting(self) -> bool:
        return self._thought.is_optional and self._num_tokens == 0

    @property
    def opening(self) -> int:
        """The first token of the begin marker."""
        return self._opening[0]

    @property
    def ending(self) -> Sequence[int]:
        """The tokens of the end marker."""
        return self._ending

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
        self._text.push(self._pieces[token])
        return self._text.has_ended

    def copy(self) -> "ThoughtConstraint":
        """The same constraint in its initial state, for another choice of the request."""
        return ThoughtConstraint(self._pieces, self._thought, self._opening, self._ending)

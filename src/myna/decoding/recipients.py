"""Reads Functionary 3.2's format: an answer of parts, each with its recipient.

A part is `>>>RECIPIENT`, a line break and its text; the prompt ends behind the first `>>>`. Text to `all` is
the answer. A call of a function is left in it, always behind the mark, for the call format to read.
"""

from collections.abc import Sequence
from typing import Final

from myna.core.functionary import LEAD, TO_ALL
from myna.core.overlap import overlap
from myna.decoding.token_classifier import WHITE, TokenClassifier

_LEAD: Final = LEAD.encode()
_TO_ALL: Final = TO_ALL.encode()
_NEXT: Final = _LEAD + _TO_ALL


class RecipientText:
    """A `ThoughtReader` of a model without thoughts. `heads` are the beginnings of calls, `LEAD` included. An
    answer that doesn't begin with one of these recipients is text."""

    __slots__ = ("_has_begun", "_heads", "_separator", "_shown_before", "classifier")

    def __init__(self, heads: Sequence[str]) -> None:
        self.classifier = TokenClassifier()
        self._heads = [head.encode().removeprefix(_LEAD) for head in heads]
        self._has_begun = False
        self._separator = b""  # between the text so far and more text to all
        self._shown_before = b""  # shown with the next text

    @property
    def is_over(self) -> bool:
        """Another recipient may follow at any time."""
        return False

    def push(self, data: bytes) -> str:
        self.classifier.add(data)
        if self._has_begun or self._read_recipient():
            self._read_text()
        return ""

    def finish(self) -> str:
        """What was cut short is not shown, or begins like a call, which its reader drops."""
        held = self.classifier.held
        if not self._has_begun and _TO_ALL.startswith(held.lstrip(WHITE)):
            self.classifier.decide(len(held), "markup")
        elif not self._has_begun:
            self._shown_before = _LEAD
        self._show(len(self.classifier.held))
        return ""

    def _read_recipient(self) -> bool:
        """Read the first recipient; False if that needs more text."""
        held = self.classifier.held
        text = held.lstrip(WHITE)
        num_white = len(held) - len(text)
        if text.startswith(_TO_ALL):
            self.classifier.decide(num_white + len(_TO_ALL), "markup")
            self._separator = b"\n"
        elif any(text.startswith(head) for head in self._heads):
            self.classifier.decide(num_white, "markup")
            self._shown_before = _LEAD
        elif any(head.startswith(text) for head in (_TO_ALL, *self._heads)):
            return False
        else:
            self._separator = b"\n"
        self._has_begun = True
        return True

    def _read_text(self) -> None:
        """Read up to what may become a mark of more text to all."""
        while (at := self.classifier.held.find(_NEXT)) >= 0:
            self._show(at)
            self.classifier.decide(len(_NEXT), "markup")
            self._shown_before, self._separator = self._separator, b"\n"
        self._show(len(self.classifier.held) - overlap(self.classifier.held, _NEXT))

    def _show(self, num_bytes: int) -> None:
        if num_bytes:
            self.classifier.decide(num_bytes, "answer", self._shown_before)
            self._shown_before = b""

"""Finds stop strings in streamed text. Knows no tokens and no bytes."""

from collections.abc import Sequence

from myna.core.overlap import overlap
from myna.core.requests import NO_CALLS, CallMarks


class _Pattern:
    """How much of one stop string the end of the text matches (Knuth–Morris–Pratt). The failure table is
    built as far as needed, so that a long stop string costs nothing until the text resembles it."""

    __slots__ = ("_failure", "matched", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.matched = 0
        self._failure = [0]

    def push(self, char: str) -> bool:
        """Add the next character; True when the whole string has been matched."""
        text, failure, matched = self.text, self._failure, self.matched
        while matched and text[matched] != char:
            matched = failure[matched - 1]
        if text[matched] == char:
            matched += 1
            if matched > len(failure):
                border = failure[-1]
                while border and text[border] != char:
                    border = failure[border - 1]
                failure.append(border + (text[border] == char))
        self.matched = matched
        return matched == len(text)


class StopMatcher:
    """Holds back exactly the text that may still become part of a stop string, or of the beginning of a tool
    call: from there on, nothing is looked for, since no client knows the layout of calls.

    The stop string that is completed first ends the text, however the text is split; of several completed by
    the same character, the one that began first. Empty stop strings are ignored.
    """

    __slots__ = (
        "_calls",
        "_first_chars",
        "_has_begun",
        "_held",
        "_in_call",
        "_patterns",
        "_unseen",
        "is_stopped",
        "stop",
    )

    def __init__(self, stops: Sequence[str], calls: CallMarks = NO_CALLS) -> None:
        self._patterns = [_Pattern(stop) for stop in stops if stop]
        self._first_chars = frozenset(pattern.text[0] for pattern in self._patterns)
        self._calls = calls
        self._held = ""
        self._unseen = ""  # the text behind it, which may begin a call
        self._has_begun = False
        self._in_call = False
        self.is_stopped = False
        self.stop = ""  # the stop string that ended the text

    @property
    def num_held(self) -> int:
        """Characters held back."""
        return len(self._held) + len(self._unseen)

    def push(self, text: str, *, may_stop: bool = True) -> str:
        """Add the next piece; return the text that can be shown now. Unless it `may_stop`, the piece is no
        part of a stop string."""
        if self._in_call:
            return text
        if self._calls == NO_CALLS:
            return self._match(text) if may_stop else text
        text = self._unseen + text
        at, self._in_call = self._find_call(text)
        self._unseen = text[at:]
        shown = self._match(text[:at]) if may_stop else text[:at]
        self._has_begun = self._has_begun or bool(text[:at].strip())
        return shown + self.finish() if self._in_call and not self.is_stopped else shown

    def _find_call(self, text: str) -> tuple[int, bool]:
        """Where the first call in the text begins, or may begin, and whether it does."""
        start = len(text) - len(text.lstrip())
        first = self._calls.at_start
        if first and not self._has_begun and text.startswith(first, start):
            return start, True
        found = [at for mark in self._calls.anywhere if (at := text.find(mark)) >= 0]
        if found:
            return min(found), True
        return len(text) - max((overlap(text, mark) for mark in self._calls.anywhere), default=0), False

    def _match(self, text: str) -> str:
        """Look for stop strings in the next text."""
        if not self._held and self._first_chars.isdisjoint(text):
            return text
        held = self._held + text
        num_before = len(self._held)
        for index, char in enumerate(text, num_before + 1):
            complete = [pattern for pattern in self._patterns if pattern.push(char)]
            if complete:
                self.is_stopped = True
                self.stop = max((pattern.text for pattern in complete), key=len)
                self._held = ""
                return held[: index - len(self.stop)]
        num_shown = len(held) - max(pattern.matched for pattern in self._patterns)
        self._held = held[num_shown:]
        return held[:num_shown]

    def finish(self) -> str:
        """The text has ended: return what was held back, up to a stop string in it."""
        shown = "" if self._in_call else self._match(self._unseen)
        if self.is_stopped:
            return shown
        shown += self._held + (self._unseen if self._in_call else "")
        self._held = self._unseen = ""
        return shown

"""Finds stop strings in streamed text. Knows no tokens and no bytes."""

from collections.abc import Sequence


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
    """Holds back exactly the text that may still become part of a stop string.

    The stop string that is completed first ends the text, however the text is split; of several completed by
    the same character, the one that began first. Empty stop strings are ignored.
    """

    __slots__ = ("_first_chars", "_held", "_patterns", "is_stopped")

    def __init__(self, stops: Sequence[str]) -> None:
        self._patterns = [_Pattern(stop) for stop in stops if stop]
        self._first_chars = frozenset(pattern.text[0] for pattern in self._patterns)
        self._held = ""
        self.is_stopped = False

    @property
    def num_held(self) -> int:
        """Characters held back."""
        return len(self._held)

    def push(self, text: str) -> str:
        """Add the next piece; return the text that can be shown now."""
        if not self._held and self._first_chars.isdisjoint(text):
            return text
        held = self._held + text
        num_before = len(self._held)
        for index, char in enumerate(text, num_before + 1):
            complete = [pattern for pattern in self._patterns if pattern.push(char)]
            if complete:
                self.is_stopped = True
                self._held = ""
                return held[: index - max(len(pattern.text) for pattern in complete)]
        num_shown = len(held) - max(pattern.matched for pattern in self._patterns)
        self._held = held[num_shown:]
        return held[:num_shown]

    def finish(self) -> str:
        """The text has ended: return what was held back, since it is not a stop string."""
        held, self._held = self._held, ""
        return held

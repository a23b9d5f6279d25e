"""Finds stop strings in text that arrives in pieces. Knows no tokens and no bytes."""

from collections.abc import Sequence


class _Pattern:
    """How much of one stop string the text's end matches (Knuth, Morris, Pratt). The failure table grows
    with what was matched, so that a long stop string costs nothing before the text resembles it."""

    __slots__ = ("_failure", "matched", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.matched = 0
        self._failure = [0]

    def push(self, char: str) -> bool:
        """Take the next character; True when the whole string has been matched."""
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
    """Holds back exactly the text that may still become a stop string.

    The stop string that is complete first ends the text, whatever pieces the text came in; of several
    that are complete with one character, the one that began first. Empty stop strings are none.
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
        """Take the next piece; return what can be shown now."""
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
        """The text has ended: what was held back was no stop string."""
        held, self._held = self._held, ""
        return held

"""Prevents text from clients from becoming control tokens: it is marked before the template runs, so that the
rendered text shows which `<|im_end|>` is the template's own."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from myna.core.errors import InvalidRequest
from myna.core.translatable import N_
from myna.prompts.special_match import SpecialMatcher

_PRIVATE_USE: Final = range(0xE000, 0xF900)


class Marker:
    """Breaks everything that looks like a control token in a client's text, by inserting an unused character.

    Trimming, splitting and the like in templates keep working, since other texts are not changed: only those
    that contain a control token's text, or are, begin or end with a part of one."""

    def __init__(self, control_texts: Iterable[str]) -> None:
        # A control token of one character can't be broken up; no vocabulary has one.
        self._texts = {text for text in control_texts if len(text) > 1}
        self._matcher = SpecialMatcher((text, 0) for text in self._texts)
        self._firsts, self._lasts = {text[0] for text in self._texts}, {text[-1] for text in self._texts}
        self._joined = "\0".join(("", *self._texts, ""))
        self._longest = max((len(text) for text in self._texts), default=0)

    @staticmethod
    def unused_mark(texts: Iterable[str]) -> str:
        """A private-use character that none of the texts contains."""
        used: set[str] = set()
        for text in texts:
            used.update(text)
        mark = next((chr(code) for code in _PRIVATE_USE if chr(code) not in used), None)
        if mark is None:
            raise InvalidRequest(N_("The messages contain every private-use character."), param="messages")
        return mark

    def mark(self, text: str, mark: str) -> str:
        """The text with `mark` inserted into each look-alike; unchanged if there is none."""
        cuts = {start + 1 for start in self._matcher.starts(text)}
        size = len(text)
        reach = range(1, min(size, self._longest - 1) + 1)
        cuts.update(size - part + 1 for part in reach if self._is_head(text[size - part :]))
        cuts.update(part - 1 for part in reach if self._is_tail(text[:part]))
        if 0 < size < self._longest and not cuts and text in self._joined:
            cuts.add(0 if size == 1 else 1)
        return mark.join(text[a:b] for a, b in pairwise([0, *sorted(cuts), size]))

    def _is_head(self, part: str) -> bool:
        return part[0] in self._firsts and f"\0{part}" in self._joined

    def _is_tail(self, part: str) -> bool:
        return part[-1] in self._lasts and f"{part}\0" in self._joined

"""Marks that may have begun at the end of a text."""

from typing import AnyStr


def overlap(text: AnyStr, mark: AnyStr) -> int:
    """How many of the last characters (or bytes) of a text begin the mark, without being all of it."""
    return next((n for n in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:n])), 0)

"""Markers that may have begun at the end of a text."""

from typing import AnyStr


def overlap(text: AnyStr, marker: AnyStr) -> int:
    """The length of the longest proper prefix of the marker with which the text ends."""
    return next((n for n in range(min(len(text), len(marker) - 1), 0, -1) if text.endswith(marker[:n])), 0)

"""Service tiers: which one serves a request, and with which priority."""

from typing import Final

_SERVED: Final = {"flex": "flex", "priority": "priority", "fast": "priority"}
_PRIORITIES: Final = {"flex": -1, "default": 0, "priority": 1}


def served_tier(asked: str | None) -> str:
    """The tier that serves the request, which the answer reports."""
    return _SERVED.get(asked or "", "default")


def priority(asked: str | None) -> int:
    """The priority of a generation in that tier; higher is served first."""
    return _PRIORITIES[served_tier(asked)]

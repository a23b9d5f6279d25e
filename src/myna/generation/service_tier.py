"""Service tiers: which one serves a request, and with which priority."""

from typing import Final

_SERVED: Final = {"flex": "flex", "priority": "priority", "fast": "priority"}
_PRIORITIES: Final = {"flex": -1, "default": 0, "priority": 1}


def served_tier(requested: str | None) -> str:
    """The tier that serves the request, which the response reports."""
    return _SERVED.get(requested or "", "default")


def priority(requested: str | None) -> int:
    """The priority of a request in that tier; higher is served first."""
    return _PRIORITIES[served_tier(requested)]

"""Service tiers: what requests ask for, and with which priority they are served."""

from typing import Final

_SERVED: Final = {"flex": "flex", "priority": "priority", "fast": "priority"}
_PRIORITIES: Final = {"flex": -1, "default": 0, "priority": 1}


def requested_tier(requested: str | None) -> str:
    """The tier that the request asks for."""
    return _SERVED.get(requested or "", "default")


def priority(tier: str) -> int:
    """The priority of a request in that tier; higher is served first."""
    return _PRIORITIES[tier]

"""Paths as users write them."""

import os
from pathlib import Path


def expand_user(path: str | Path) -> Path:
    """The path, in which `~` or `~name` at its start is a home folder. Where there is none, as for a
    container's user, it stays as it is, as in shells."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises RuntimeError then

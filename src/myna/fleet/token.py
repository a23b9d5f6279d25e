"""The token without which nobody may use the cluster. Knows no Ray."""

import os
import secrets
from pathlib import Path

from myna.core.private_file import ensure


def use_token(path: Path) -> None:
    """Whoever reaches Ray runs code on all its machines, so that it asks for a token. A file that is missing
    is written; it must be the same on all machines. Settings of the environment come first.

    Call it before Ray is imported, which reads these variables then."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if os.environ.setdefault("RAY_AUTH_MODE", "token") != "token" or "RAY_AUTH_TOKEN" in os.environ:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    ensure(path, lambda: secrets.token_hex(32))
    os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(path))

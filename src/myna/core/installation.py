"""Where this installation came from, and how to add an optional dependency to it."""

import json
import shlex
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

DISTRIBUTION: Final = "myna"
_ROOT: Final = Path(__file__).parents[3]


def install_command(extra: str, root: Path = _ROOT) -> str:
    """The shell command that installs Myna again with an extra. It names the clone, or the current folder
    where the clone isn't known: no package index has Myna, and anybody could register the name there."""
    return "pip install " + shlex.quote(f"{clone_folder(root) or '.'}[{extra}]")


def clone_folder(root: Path = _ROOT) -> Path | None:
    """The clone of the repository that this code runs in, or was installed from; None if there is none."""
    return next((folder for folder in (root, installed_from()) if folder and _is_clone(folder)), None)


def installed_from() -> Path | None:
    """The folder that pip was given, which it records in `direct_url.json` (PEP 610)."""
    try:
        text = Distribution.from_name(DISTRIBUTION).read_text("direct_url.json")
        url = urlsplit(json.loads(text or "{}").get("url", ""))
    except (PackageNotFoundError, ValueError, AttributeError, OSError):
        return None
    return Path(url2pathname(url.path)) if url.scheme == "file" else None


def _is_clone(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file() and (folder / "src" / "myna").is_dir()

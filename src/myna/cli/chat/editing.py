"""A text in the user's own editor."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from myna.core.errors import OperatorError


def edited(text: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The text after editing; None where VISUAL and EDITOR name none. Raises `OperatorError`."""
    editor = environ.get("VISUAL") or environ.get("EDITOR")
    if not editor:
        return None
    with tempfile.TemporaryDirectory(prefix="myna-chat-") as folder:  # others can't enter it
        path = Path(folder) / "question.md"
        path.write_text(text, encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)  # noqa: S603
            return path.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, ValueError, subprocess.SubprocessError) as exc:
            raise OperatorError(f"The editor {editor} failed ({exc}); set EDITOR to one that works.") from exc

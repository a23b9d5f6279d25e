"""A text in the user's own editor."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from myna.core.errors import OperatorError
from myna.core.translatable import N_


def edited(text: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The text after editing; None if neither VISUAL nor EDITOR is set. Raises `OperatorError`."""
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
            raise OperatorError(
                N_(
                    "The editor {editor} failed ({reason}); set EDITOR to one that works.",
                    editor=editor,
                    reason=exc,
                )
            ) from exc

"""Small files with secrets: created once, readable only by their owner, replaced atomically."""

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from myna.core.errors import ConfigurationError
from myna.core.translatable import N_, Translatable


def read_lines(path: Path, what: str) -> tuple[str, ...]:
    """The lines, without whitespace and comments (`#`). Raises `ConfigurationError` if the file can't be
    read, or if others may read it; `what` names the file in the error."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            N_("Can't read the {what} file {path}: {reason}.", what=what, path=path, reason=exc)
        ) from exc
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            N_(
                "Others may read the {what} file {path}. Protect it with: chmod 600 {path}",
                what=what,
                path=path,
            )
        )
    lines = tuple(line for raw in text.splitlines() if (line := raw.split("#", 1)[0].strip()))
    if not lines:
        raise ConfigurationError(
            N_("The {what} file {path} contains no {what}; delete it and start again.", what=what, path=path)
        )
    return lines


def unwritable(folder: Path, exc: OSError) -> Translatable:
    """Why a folder can't be written, with what to do."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return N_("The disk of {folder} is full; free some space there.", folder=folder)
    return N_(
        "Can't write to {folder} ({reason}); set MYNA_HOME to a folder that you may write to.",
        folder=folder,
        reason=exc.strerror or exc,
    )


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Replace the file atomically; it is readable only by its owner from the start. Raises
    `ConfigurationError` if the folder can't be written, or if its disk is full."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # created with mode 0600
    except OSError as exc:
        raise ConfigurationError(unwritable(path.parent, exc)) from exc
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as exc:
        temporary.unlink(missing_ok=True)
        if isinstance(exc, OSError):
            raise ConfigurationError(unwritable(path.parent, exc)) from exc
        raise


def ensure(path: Path, make: Callable[[], str]) -> None:
    """Create the file if it doesn't exist. Concurrent callers agree on one content. Raises
    `ConfigurationError` if the folder can't be written."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_lines(draft, [make()])
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    except OSError as exc:
        raise ConfigurationError(unwritable(path.parent, exc)) from exc
    finally:
        draft.unlink()

"""Conversations in files: JSON to continue, Markdown to read."""

from pathlib import Path

from myna.cli.chat.conversation import Conversation, read_conversation
from myna.core.errors import OperatorError
from myna.core.paths import expand_user
from myna.core.translatable import N_

_MAX_BYTES = 64 << 20


def save(conversation: Conversation, name: str, own: Path | None) -> Path:
    """Write the file. Only the conversation's own file (`own`) is overwritten.

    Raises `OperatorError`.
    """
    if not name and own is None:
        raise OperatorError(N_("Name a file: /save FILE.json, or FILE.md to read it."))
    if not conversation.turns:
        raise OperatorError(N_("The conversation is empty, so there is nothing to save."))
    path = expand_user(name) if name else own
    assert path is not None
    if path.suffix not in (".json", ".md"):
        raise OperatorError(N_("Conversations are saved as .json or .md; {path} ends in neither.", path=path))
    text = conversation.as_json() if path.suffix == ".json" else conversation.as_markdown()
    try:
        with path.open("w" if path == own else "x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except FileExistsError:
        raise OperatorError(N_("{path} already exists; choose another name.", path=path)) from None
    except OSError as exc:
        raise OperatorError(N_("Can't write {path}: {reason}.", path=path, reason=exc.strerror)) from exc
    return path


def load(name: str) -> tuple[Conversation, Path]:
    """Raises `OperatorError`, and `InvalidRequest` for a file that contains something else."""
    if not name:
        raise OperatorError(N_("Name a file: /load FILE.json"))
    path = expand_user(name)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise OperatorError(N_("{path} is too large to be a conversation.", path=path))
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise OperatorError(N_("There is no file {path}.", path=path)) from None
    except OSError as exc:
        raise OperatorError(N_("Can't read {path}: {reason}.", path=path, reason=exc.strerror)) from exc
    except UnicodeDecodeError:
        raise OperatorError(
            N_("{path} is not UTF-8 text, so it can't be a conversation.", path=path)
        ) from None
    return read_conversation(text, str(path)), path


def candidates(typed: str) -> list[str]:
    """Folders and conversation files that start with what is typed."""
    folder, _, start = typed.rpartition("/")
    place = expand_user(f"{folder}/" if "/" in typed else ".")
    found = []
    try:
        for path in sorted(place.iterdir()):
            if path.name.startswith(start) and (path.is_dir() or path.suffix in (".json", ".md")):
                found.append(f"{folder}/{path.name}" if "/" in typed else path.name)
                found[-1] += "/" if path.is_dir() else ""
    except OSError:
        return []
    return found

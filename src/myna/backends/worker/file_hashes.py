"""Which bytes a model's files hold: their sha256, read once and remembered for as long as the files stay."""

import hashlib
import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_log: Final = logging.getLogger(__name__)


class FileHashes:
    """A file is known by its path, size, time of change and inode; what is known is kept in `cache`.
    Thread-safe; two servers of one home may at worst both read a file."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._lock = threading.Lock()

    def digest(self, paths: Sequence[Path]) -> str:
        """Of all the files of a model, in order. Reading a gigabyte takes about a second, the first time.
        Raises `OSError`."""
        return hashlib.sha256("".join(self._digest(path) for path in paths).encode()).hexdigest()

    def _digest(self, path: Path) -> str:
        name, mark = str(path.absolute()), _mark(path)
        with self._lock:
            known = self._read().get(name)
        if isinstance(known, dict) and known.get("mark") == mark and isinstance(known.get("sha256"), str):
            return str(known["sha256"])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if _mark(path) == mark:  # else it was written to meanwhile
            self._remember(name, {"mark": mark, "sha256": digest})
        return digest

    def _read(self) -> dict[str, object]:
        try:
            known = json.loads(self._cache.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _remember(self, name: str, entry: dict[str, object]) -> None:
        with self._lock:
            known = {path: other for path, other in self._read().items() if Path(path).is_file()}
            try:
                self._cache.parent.mkdir(parents=True, exist_ok=True)
                temporary = self._cache.with_name(f".{self._cache.name}")
                temporary.write_text(json.dumps({**known, name: entry}, indent=1), encoding="utf-8")
                temporary.replace(self._cache)
            except OSError as exc:
                _log.info("the hash of %s is not remembered: %s", name, exc.strerror)


def _mark(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]

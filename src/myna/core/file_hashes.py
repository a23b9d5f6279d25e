"""SHA-256 hashes of a model's files, computed once and cached for as long as the files are unchanged."""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_log: Final = logging.getLogger(__name__)


class FileHashes:
    """Files are identified by path, size, modification time and inode; hashes are stored in the file `cache`.
    Thread-safe; at worst, two servers with the same home both hash a file."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._lock = threading.Lock()

    def digest(self, paths: Sequence[Path]) -> str:
        """The hash of all files of a model, in order. The first time, this takes about a second per gigabyte.
        Raises `OSError`."""
        return hashlib.sha256("".join(self._digest(path) for path in paths).encode()).hexdigest()

    def _digest(self, path: Path) -> str:
        name, mark = str(path.absolute()), _file_state(path)
        with self._lock:
            known = self._read().get(name)
        if isinstance(known, dict) and known.get("mark") == mark and isinstance(known.get("sha256"), str):
            return str(known["sha256"])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if _file_state(path) == mark:  # else the file was modified meanwhile
            self._store(name, {"mark": mark, "sha256": digest})
        return digest

    def remember(self, path: Path, sha256: str) -> None:
        """Note the hash of a file that was read already, so that it isn't read again for it. Raises
        `OSError`."""
        self._store(str(path.absolute()), {"mark": _file_state(path), "sha256": sha256})

    def _read(self) -> dict[str, object]:
        try:
            known = json.loads(self._cache.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _store(self, name: str, entry: dict[str, object]) -> None:
        with self._lock:
            known = {path: other for path, other in self._read().items() if Path(path).is_file()}
            try:
                self._cache.parent.mkdir(parents=True, exist_ok=True)
                temporary = self._cache.with_name(f".{self._cache.name}.{os.getpid()}")
                temporary.write_text(json.dumps({**known, name: entry}, indent=1), encoding="utf-8")
                temporary.replace(self._cache)
            except OSError as exc:
                _log.info("the hash of %s can't be cached: %s", name, exc.strerror)


def _file_state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]

"""The folder with the contents of files. Knows no rows.

A content is written under its final name, and its writer holds a lock on it until its row exists: a
content without a row and without a lock is what a process that was killed has left behind.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

_OLD_S: Final = 60.0
_MANY: Final = 500


class OpenContent:
    """A new content, locked until it is closed. Blocking and thread-safe; closed, it can't be changed."""

    def __init__(self, path: Path) -> None:
        """Raises `OSError`."""
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        self.num_bytes = 0
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except BaseException:
            self.discard()
            raise

    def append(self, data: bytes) -> None:
        """Append all of the data, or raise `OSError` and append nothing."""
        view = memoryview(data)
        with self._lock:
            try:
                while view:
                    view = view[os.write(self._fd, view) :]
            except OSError:
                if self._fd >= 0:
                    os.ftruncate(self._fd, self.num_bytes)
                raise
            self.num_bytes += len(data)

    def sync(self) -> None:
        """Returns when everything that was appended survives a crash of the machine. Raises `OSError`."""
        with self._lock:
            os.fsync(self._fd)

    def keep(self, commit: Callable[[], bool]) -> bool:
        """Close it if `commit`, which adds its row, returns True. If that raises, whether there is a row is
        not known: the content is closed, too, and is deleted as an orphan if there is none."""
        with self._lock:
            if self._fd < 0:
                return False
            try:
                is_kept = commit()
            except BaseException:
                self._close()
                raise
            if is_kept:
                self._close()
            return is_kept

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._close()

    def discard(self) -> None:
        """Delete and close it, unless it is closed."""
        with self._lock:
            if self._fd >= 0:
                self.path.unlink(missing_ok=True)
                self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class FileFolder:
    """All methods are blocking and thread-safe. Names are ids that this server has made, never a client's."""

    def __init__(self, path: Path) -> None:
        """The folder is created with its first content."""
        self._path = path

    def path_of(self, name: str) -> Path:
        return self._path / name

    def open(self, name: str) -> BinaryIO:
        """The content, to be read. Raises `OSError`."""
        return (self._path / name).open("rb")

    def create(self, name: str) -> OpenContent:
        """A new content. Raises `OSError`."""
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return OpenContent(self._path / name)

    def sync(self) -> None:
        """Returns when the names of all contents survive a crash of the machine. Raises `OSError`."""
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def link(self, name: str, other: str) -> None:
        """Keep the content under another name, too: each name can be deleted for itself. Raises `OSError`."""
        os.link(self._path / name, self._path / other)

    def num_bytes(self, names: Iterable[str]) -> int:
        """The room that these contents take; each counts once, and those that don't exist don't count."""
        sizes: dict[int, int] = {}
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                status = (self._path / name).stat()
                sizes[status.st_ino] = status.st_size
        return sum(sizes.values())

    def delete(self, name: str) -> None:
        """Does nothing if there is no such content. Raises `OSError`."""
        (self._path / name).unlink(missing_ok=True)

    def delete_orphans(self, in_use: Callable[[Collection[str]], set[str]]) -> int:
        """Delete the contents that belong to nothing; returns how many. `in_use`: see `FileStore.in_use`."""
        num_deleted, names = 0, sorted(path.name for path in self._path.glob("*"))
        for start in range(0, len(names), _MANY):
            some = names[start : start + _MANY]
            for name in set(some) - in_use(some):
                with self._unlocked(name) as is_unlocked:
                    # Looked up again: its row may have been added before the lock was released.
                    if is_unlocked and not in_use([name]):
                        self.delete(name)
                        num_deleted += 1
        return num_deleted

    @contextlib.contextmanager
    def _unlocked(self, name: str) -> Iterator[bool]:
        """Whether nobody writes the content. The input of a batch is a link, which nobody writes: it is left
        alone while it is new."""
        try:
            fd = os.open(self._path / name, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # deleted, or something else, such as a folder
            yield False
            return
        try:
            status = os.fstat(fd)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield not name.startswith("batch_") or time.time() - status.st_ctime > _OLD_S
        except BlockingIOError:
            yield False
        finally:
            os.close(fd)

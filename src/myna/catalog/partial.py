"""A download in progress, renamed once it is complete and its hash matches. Knows no source."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from myna.core.errors import DownloadFailed
from myna.core.translatable import N_, Translatable

_READ_BYTES = 1 << 20


class Progress(Protocol):
    """Receives the progress of a pull, in the thread that pulls."""

    def message(self, line: str | Translatable) -> None:
        """A line for the user: the source in use, or a problem."""
        ...

    def update(self, num_bytes: int, total_bytes: int) -> None:
        """The bytes downloaded so far, including those not appended yet."""
        ...


class SilentProgress:
    """Progress that is not displayed."""

    def message(self, line: str | Translatable) -> None: ...

    def update(self, num_bytes: int, total_bytes: int) -> None: ...


@contextmanager
def locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock file; the system releases it when a process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.message(N_("Another process is pulling this model; waiting for it."))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class PartialFile:
    """The bytes of one file, appended in order and hashed; used by one process at a time.

    It resumes what an earlier pull left, so a source continues from `size`.
    """

    def __init__(self, path: Path, total_bytes: int, progress: Progress) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.total_bytes = total_bytes
        self._progress = progress
        self._shown_bytes = 0
        self._file = path.open("a+b")
        self.size = 0
        self._hash = hashlib.sha256()
        self.truncate(min(path.stat().st_size, total_bytes))

    def truncate(self, num_bytes: int) -> None:
        """Keep only the first bytes, dropping for example an incomplete part."""
        self._file.truncate(num_bytes)
        self._file.seek(0)
        self._hash, self.size, self._shown_bytes = hashlib.sha256(), 0, 0
        while chunk := self._file.read(_READ_BYTES):
            self._hash.update(chunk)
            self.size += len(chunk)

    def append(self, chunk: bytes) -> None:
        """Raises `DownloadFailed` if the file would exceed its size, OSError on a full disk."""
        if self.size + len(chunk) > self.total_bytes:
            raise DownloadFailed(
                N_(
                    "the source sent more than the {total_bytes:,} bytes of the file",
                    total_bytes=self.total_bytes,
                )
            )
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)
        self.report(0)

    def report(self, pending_bytes: int) -> None:
        """Report progress, including bytes fetched but not yet appended; never decreases."""
        self._shown_bytes = max(self._shown_bytes, min(self.size + pending_bytes, self.total_bytes))
        self._progress.update(self._shown_bytes, self.total_bytes)

    def sync(self) -> None:
        """Make the bytes so far survive a power failure."""
        self._file.flush()
        os.fsync(self._file.fileno())

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def finish(self, target: Path) -> None:
        """Rename the complete file to its final name, atomically and durably."""
        self.sync()
        self._file.close()
        self.path.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        self._file.close()

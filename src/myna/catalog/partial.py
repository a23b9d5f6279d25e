"""A file that grows beside its final name until it is whole and its hash agrees. Knows no source."""

import hashlib
import os
from pathlib import Path
from typing import Protocol

from myna.core.errors import DownloadFailed
from myna.core.translatable import N_, Translatable

_READ_BYTES = 1 << 20


class Progress(Protocol):
    """Who is told how a pull goes. Called from the thread that pulls."""

    def says(self, line: str | Translatable) -> None:
        """Something worth a line: which source is asked, what is wrong with one."""
        ...

    def at(self, num_bytes: int, total_bytes: int) -> None:
        """So many bytes are here, those on their way included."""
        ...


class Silent:
    """Progress that nobody watches."""

    def says(self, line: str | Translatable) -> None: ...

    def at(self, num_bytes: int, total_bytes: int) -> None: ...


class Partial:
    """Bytes of one file, appended in order and hashed as they come; one process holds it at a time.

    What an earlier pull left is taken up, so a source continues from `size`.
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
        self.keep(min(path.stat().st_size, total_bytes))

    def keep(self, num_bytes: int) -> None:
        """Forget all but the first bytes, such as a part that was not whole."""
        self._file.truncate(num_bytes)
        self._file.seek(0)
        self._hash, self.size, self._shown_bytes = hashlib.sha256(), 0, 0
        while chunk := self._file.read(_READ_BYTES):
            self._hash.update(chunk)
            self.size += len(chunk)

    def append(self, chunk: bytes) -> None:
        """Raises `DownloadFailed` when there is more than the file may have, OSError on a full disk."""
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
        self.show(0)

    def show(self, on_the_way_bytes: int) -> None:
        """Tell how far it is, with what a source has fetched but not yet appended; never backwards."""
        self._shown_bytes = max(self._shown_bytes, min(self.size + on_the_way_bytes, self.total_bytes))
        self._progress.at(self._shown_bytes, self.total_bytes)

    def sync(self) -> None:
        """What is here outlives a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def finish(self, target: Path) -> None:
        """Give the whole file its final name, in one step that a crash can't halve."""
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

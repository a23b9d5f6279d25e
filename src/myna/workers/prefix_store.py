"""The file in which a worker saves prefixes: opened by the server, since a worker can't open files."""

import fcntl
import logging
import os
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from myna.workers.own_file import open_own_file

_log: Final = logging.getLogger("myna.worker")


class PrefixStore:
    """An open file of its full size, locked until it is closed here and in the process that inherits it."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path, num_bytes: int) -> Self | None:
        """None, and a line in the log, if it can't be used: the model runs without it."""
        descriptor = -1
        try:
            descriptor = open_own_file(path)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _allocate(descriptor, num_bytes)
        except BlockingIOError:
            _log.warning("another worker uses the prefix cache %s, so this one goes without", path)
        except OSError as error:
            _log.warning("the prefix cache %s can't be used: %s", path, error.strerror)
        else:
            return cls(descriptor)
        if descriptor >= 0:
            os.close(descriptor)
        return None

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)


def _allocate(descriptor: int, num_bytes: int) -> None:
    """Allocate all of the file now: writing to a mapping of a full disk would end the process. If that fails,
    nothing more is allocated than before: file systems keep what they had until the disk was full, which
    would leave no room for anything else."""
    if os.fstat(descriptor).st_size > num_bytes:
        os.ftruncate(descriptor, num_bytes)
    before = os.fstat(descriptor).st_size
    try:
        os.posix_fallocate(descriptor, 0, num_bytes)
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def store_path(folder: Path, model: Path) -> Path:
    """Where the prefixes of that model file are saved."""
    return folder / f"{sha256(os.fsencode(model.absolute())).hexdigest()[:32]}.kv"


def file_identity(paths: list[Path]) -> str:
    """Changes whenever one of the files does."""
    found = map(os.stat, paths)
    return " ".join(f"{one.st_ino}.{one.st_size}.{one.st_mtime_ns}.{one.st_ctime_ns}" for one in found)

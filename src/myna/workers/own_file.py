"""Opens the files that the server hands to its workers, which can't open any themselves."""

import os
import stat
from pathlib import Path


class NotOwnFileError(OSError):
    """Something else is there: a folder, a device, another user's file."""


def open_own_file(path: Path) -> int:
    """A descriptor of a regular file of this user, which is created if it isn't there, for its owner only.
    Raises `NotOwnFileError`, and `OSError` if it can't be opened."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    status = os.fstat(descriptor)
    if status.st_uid != os.getuid() or not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise NotOwnFileError(0, "it is not a regular file owned by this user")
    return descriptor

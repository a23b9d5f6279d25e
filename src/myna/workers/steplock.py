"""Lets only one worker of a machine compute at a time: models that share the cores take turns, step by
step."""

import fcntl
import os
from pathlib import Path
from typing import Self

from myna.core.errors import ConfigurationError
from myna.core.translatable import N_
from myna.workers.own_file import NotOwnFileError, open_own_file

_RUN, _NEXT = 0, 1


class StepLock:
    """A context manager around a step. The operating system releases it when the process dies.

    Two record locks on one file make it fair: the worker next in turn holds the second lock while it waits,
    so that the one that has just run can't overtake it. Without contention, a step costs four system calls.
    """

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        """The descriptor of an open lock file, which it owns from now on. The server opens it, because a
        worker can't."""
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises `ConfigurationError` if the file can't be created or isn't a regular file of this user."""
        try:
            return cls(open_own_file(path))
        except NotOwnFileError as error:
            raise ConfigurationError(
                N_("The step lock {path} is not a regular file owned by this user.", path=path)
            ) from error
        except OSError as error:
            raise ConfigurationError(
                N_("The step lock {path} can't be opened: {reason}.", path=path, reason=error.strerror)
            ) from error

    def __enter__(self) -> None:
        descriptor = self._descriptor
        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, _NEXT)
        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, _RUN)
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, _NEXT)

    def __exit__(self, *exc: object) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _RUN)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)

"""Landlock, Linux's restriction of files and ports that needs no privileges."""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

# The same numbers on all machines.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
# Everything that can be restricted, by the version that introduced it.
_FILES: Final = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
_TCP: Final = ((4, 0b11),)  # bind, connect
_OTHERS: Final = ((6, 0b11),)  # abstract Unix sockets and signals of processes outside


def version() -> int:
    """What the kernel supports; 0 for nothing. Changes nothing."""
    if sys.platform != "linux":
        return 0
    with suppress(OSError):
        return _call(_CREATE_RULESET, ctypes.c_void_p(None), 0, _GET_VERSION)
    return 0


def restrict(readable: Iterable[Path]) -> None:
    """Let this thread, and the threads that it starts, open only these files and what is in these folders,
    only to read; no TCP ports, no signals to others. Permanent. Missing paths are skipped. Libraries also
    open the null device to write. Needs no_new_privs. Raises `OSError`."""
    supported = version()
    attributes = struct.pack("QQQ", *(_known(rights, supported) for rights in (_FILES, _TCP, _OTHERS)))
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in readable:
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                _allow(ruleset, path, _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE)
        _allow(ruleset, Path(os.devnull), _READ_FILE | _WRITE_FILE)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _known(rights: Iterable[tuple[int, int]], supported: int) -> int:
    return sum(bits for since, bits in rights if since <= supported)


def _call(number: int, *arguments: object) -> int:
    passed = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result: int = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *passed)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result

"""Confines a process that reads strangers' data, a model file or a template, to what it needs for that.

The kernel enforces it, so it also holds for an attacker who has taken over the process: no other files,
no connections, no other processes, and a limit for memory. What a kernel doesn't support is left out, and
`missing` says so.
"""

import ctypes
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from myna.core import landlock, seccomp

_log: Final = logging.getLogger(__name__)
_PR_SET_NO_NEW_PRIVS: Final = 38
# Libraries are loaded when they are first used; these are where the loader and interpreters look.
_SYSTEM: Final = (
    *("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"),
    *("/nix/store", "/gnu/store", "/etc/ld.so.cache", "/usr/share/zoneinfo", "/etc/localtime"),
    *("/dev/zero", "/dev/urandom", "/dev/random"),
)
# Processors, memory and their limits, for numbers of threads and sizes of caches. Nothing of other processes.
_MACHINE: Final = (
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/vmstat", "/proc/zoneinfo"),
    *("/proc/sys/vm", "/proc/sys/kernel/numa_balancing"),
    *("/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage"),
)


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """What a process may read and use. `readable` are the files that it works on; it may also read Python's
    own folders, libraries, and what the kernel says about the machine.

    `data_bytes` limits private memory, on top of what the process has now; files in memory (a model's mapped
    weights) don't count. `address_space_bytes` limits all of it. 0 means no limit. The kernel's OOM killer
    picks the process with the highest `oom_score_adj` first.
    """

    readable: tuple[str, ...] = ()
    data_bytes: int = 0
    address_space_bytes: int = 0
    max_files: int = 0
    oom_score_adj: int = 0


def missing() -> tuple[str, ...]:
    """What `confine` would use but this system doesn't have."""
    return tuple(
        name
        for name, is_there in (("Landlock", landlock.version() > 0), ("seccomp", seccomp.is_available()))
        if not is_there
    )


def confine(limits: Confinement) -> None:
    """Confine this process permanently. It must not have started threads yet: they would stay as they are."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(limits.oom_score_adj))
    _limit(limits)
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(value) for value in (1, 0, 0, 0))) != 0:
        _log.warning("no_new_privs can't be set, so this process is not confined")
        return
    readable = [*map(Path, limits.readable), *_own_paths()]
    if landlock.version():
        _apply("Landlock", lambda: landlock.restrict(readable))
    if seccomp.is_available():
        _apply("seccomp", seccomp.install)


def _apply(name: str, restrict: Callable[[], None]) -> None:
    try:
        restrict()
    except OSError as error:  # a container's own filter may forbid it
        _log.warning("%s can't be applied: %s", name, error.strerror)


def _limit(limits: Confinement) -> None:
    """Limits that every Unix has: no core files, which would hold conversations, and no writing to files."""
    with suppress(ImportError):
        import resource

        for kind, limit in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_NOFILE, limits.max_files or None),
            (resource.RLIMIT_AS, limits.address_space_bytes or None),
            (resource.RLIMIT_DATA, _data_bytes() + limits.data_bytes if limits.data_bytes else None),
        ):
            if limit is not None:
                with suppress(ValueError, OSError):  # beyond the limit that this process was given
                    resource.setrlimit(kind, (limit, limit))


def _data_bytes() -> int:
    """What the kernel compares with RLIMIT_DATA."""
    with suppress(OSError):
        found = re.search(r"^VmData:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
        return int(found[1]) << 10 if found else 0
    return 0


def _own_paths() -> Iterator[Path]:
    """What any Python process needs to import modules and load their libraries."""
    yield from (Path(entry) for entry in sys.path if entry)
    yield Path(__file__).parents[1]  # in an editable installation, an import hook finds it
    for prefix in (sys.prefix, sys.base_prefix):
        yield Path(prefix, "lib")
    for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if entry:
            yield Path(entry)
    yield from map(Path, _SYSTEM)
    yield from map(Path, _MACHINE)

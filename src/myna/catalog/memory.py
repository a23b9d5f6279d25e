"""The memory available for models: the machine's, limited by the process's control groups."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_NO_LIMIT: Final = 1 << 60  # version 1 writes a huge number where there is no limit
_MAX_LEVELS: Final = 64


@dataclass(frozen=True, slots=True)
class Memory:
    """`total_bytes` is the maximum, `free_bytes` what is available now, including reclaimable caches."""

    total_bytes: int
    free_bytes: int


def read_memory(root: Path = Path("/")) -> Memory:
    """The machine's memory, limited by every control group of this process (versions 1 and 2)."""
    machine = psutil.virtual_memory()
    memory = Memory(machine.total, machine.available)
    for limit, used in _groups(root):
        memory = Memory(min(memory.total_bytes, limit), max(0, min(memory.free_bytes, limit - used)))
    return memory


def _groups(root: Path) -> list[tuple[int, int]]:
    """(limit, non-reclaimable bytes in use) of each group with a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return []
    found: list[tuple[int, int]] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
            found += _walk(root / "sys/fs/cgroup", path, names)
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            found += _walk(root / "sys/fs/cgroup/memory", path, names)
    return found


def _walk(mount: Path, path: str, names: tuple[str, str, str]) -> list[tuple[int, int]]:
    """The group and its ancestors; in a container the path may be the host's, and only the mount exists."""
    parts = [part for part in path.split("/") if part][:_MAX_LEVELS]
    folders = [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
    return [read for folder in folders if (read := _read_group(folder, names)) is not None]


def _read_group(folder: Path, names: tuple[str, str, str]) -> tuple[int, int] | None:
    limit_name, used_name, reclaimable = names
    try:
        limit = int((folder / limit_name).read_text(encoding="ascii"))
        used = int((folder / used_name).read_text(encoding="ascii"))
        statistics = (folder / "memory.stat").read_text(encoding="ascii").split()
    except (OSError, ValueError):  # not mounted, or "max"
        return None
    if limit >= _NO_LIMIT:
        return None
    values = dict(zip(statistics[::2], statistics[1::2], strict=False))
    return limit, used - int(values.get(reclaimable, "0"))

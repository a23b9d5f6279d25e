"""A process and those that it started. Linux only; elsewhere a process is alone."""

from pathlib import Path


def process_tree(pid: int) -> list[int]:
    """The process and all that descend from it, without looking at any others."""
    found = [pid]
    for parent in found:
        found += _children(parent)
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    except OSError:  # it has just ended
        pass
    return children

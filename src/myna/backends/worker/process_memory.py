"""Memory use of a worker process."""

import psutil

from myna.workers.process_tree import process_tree


def process_bytes(pid: int | None) -> int:
    """The private memory of a process and those that it started: file-backed pages, which can be reclaimed,
    don't count."""
    return 0 if pid is None else sum(map(_private_bytes, process_tree(pid)))


def _private_bytes(pid: int) -> int:
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:  # it has just ended
        return 0
    return int(memory.rss - getattr(memory, "shared", 0))

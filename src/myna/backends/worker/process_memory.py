"""Memory use of a worker process."""

import psutil

from myna.workers.process_tree import process_tree


def process_bytes(pid: int | None) -> int:
    """The private memory of a process: file-backed pages, which can be reclaimed, don't count."""
    if pid is None:
        return 0
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:  # it has just ended
        return 0
    return int(memory.rss - getattr(memory, "shared", 0))


def tree_bytes(pid: int | None) -> int:
    """The same of a process and all that it started."""
    return 0 if pid is None else sum(process_bytes(one) for one in process_tree(pid))

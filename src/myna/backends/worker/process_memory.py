"""Memory use of a worker process."""

import psutil


def process_bytes(pid: int | None) -> int:
    """The private memory of a process: file-backed pages, which can be reclaimed, don't count."""
    if pid is None:
        return 0
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:  # it has just ended
        return 0
    return int(memory.rss - getattr(memory, "shared", 0))

"""How much memory a worker process holds."""

import psutil


def process_bytes(pid: int | None) -> int:
    """What a process holds of its own: pages of files, which can be given up, don't count."""
    if pid is None:
        return 0
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:  # it has just ended
        return 0
    return int(memory.rss - getattr(memory, "shared", 0))

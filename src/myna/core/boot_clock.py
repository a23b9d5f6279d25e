"""The time since the machine was started, which nobody can set, unlike the wall clock."""

import time
from pathlib import Path
from typing import NamedTuple

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class BootTime(NamedTuple):
    """`seconds` since the start that `boot_id` identifies; it is empty where that is unknown."""

    boot_id: str
    seconds: float


def boot_time() -> BootTime:
    """The same for all processes of a machine on Linux, and counts suspended time. Elsewhere it is only
    comparable within this process."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return BootTime("", time.monotonic())
    try:
        boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        boot_id = ""
    return BootTime(boot_id, time.clock_gettime(time.CLOCK_BOOTTIME))

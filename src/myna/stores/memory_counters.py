"""Rate-limit counters of this process only."""

import threading
import time
from collections.abc import Callable, Sequence

from myna.core.counters import Change


class MemoryCounters:
    """Values in a dict."""

    is_instant = True

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._values: dict[str, bytes] = {}
        self._clock = clock
        self._lock = threading.Lock()

    def update(self, names: Sequence[str], change: Change) -> None:
        with self._lock:
            found = {name: self._values[name] for name in names if name in self._values}
            self._values.update(change(found, self._clock()))

    def close(self) -> None:
        """Nothing to close."""

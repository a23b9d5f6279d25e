"""The interface of stores for rate-limit counters: named values that are changed atomically."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

Change = Callable[[Mapping[str, bytes], float], Mapping[str, bytes]]
"""From the current values and the Unix time in seconds to the values to write. May be called again if the
first attempt was rolled back; an exception rolls everything back."""


class CounterStore(Protocol):
    """Values that outlive a request and may outlive the process, but need not survive a crash of the machine.

    `update` is blocking and thread-safe; if `is_instant`, it is fast enough to be called on the event loop.
    """

    @property
    def is_instant(self) -> bool: ...

    def update(self, names: Sequence[str], change: Change) -> None:
        """Pass the values of these names to `change` and write what it returns, atomically for all servers
        that share the store."""
        ...

    def close(self) -> None: ...

"""The seam of the stores that keep what limits have counted: named values, changed together or not at all."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

Change = Callable[[Mapping[str, bytes], float], Mapping[str, bytes]]
"""From the values that are there, and the time in seconds since 1970, to those to write. May be called
again where the first try was undone; what it raises undoes everything."""


class CounterStore(Protocol):
    """Values that outlive a request, and may outlive the process, but needn't outlive the machine.

    `update` is blocking and thread-safe; where `is_instant`, it is also so fast that it may be called on
    the event loop.
    """

    @property
    def is_instant(self) -> bool: ...

    def update(self, names: Sequence[str], change: Change) -> None:
        """Let `change` see the values of these names, and write what it returns, as one step for every
        server that shares the store."""
        ...

    def close(self) -> None: ...

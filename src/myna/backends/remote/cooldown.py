"""How long a server that failed is left out."""

from collections.abc import Callable
from typing import Final

_FIRST_S: Final = 1.0
_LONGEST_S: Final = 60.0


class Cooldown:
    """The times are `clock`'s, in seconds. They double with each failure, up to a minute, until `end`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._num_failures = 0
        self.until = 0.0

    @property
    def is_active(self) -> bool:
        return self._clock() < self.until

    def begin(self, duration_s: float | None = None) -> None:
        """After a failure; `duration_s` where the server said how long."""
        grown_s = _FIRST_S * 2.0 ** min(self._num_failures, 10)
        self._num_failures += 1
        self.until = self._clock() + min(duration_s or grown_s, _LONGEST_S)

    def end(self) -> None:
        """After an answer."""
        self._num_failures, self.until = 0, 0.0

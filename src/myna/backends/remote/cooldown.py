"""How long a failed server is skipped."""

from collections.abc import Callable
from typing import Final

_FIRST_S: Final = 1.0
_MAX_S: Final = 60.0


class Cooldown:
    """The duration doubles with each failure, up to a minute, until `end`. Times are `clock`'s, in
    seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._num_failures = 0
        self.until = 0.0

    @property
    def is_active(self) -> bool:
        return self._clock() < self.until

    def begin(self, duration_s: float | None = None) -> None:
        """Call after a failure; `duration_s` is the time that the server asked for, if it did."""
        grown_s = _FIRST_S * 2.0 ** min(self._num_failures, 10)
        self._num_failures += 1
        self.until = self._clock() + min(duration_s or grown_s, _MAX_S)

    def end(self) -> None:
        """Call after a success."""
        self._num_failures, self.until = 0, 0.0

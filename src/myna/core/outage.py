"""Logs a lasting failure once when it begins and once when it ends, instead of for each call."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

_QUIET_S: Final = 10.0
"""A failure that recurs within this time has not ended: some calls may succeed in between."""


class Outage:
    """Thread-safe. `began` is a log message that takes the reason as `%s`."""

    def __init__(
        self,
        log: logging.Logger,
        began: str,
        ended: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._began = began
        self._ended = ended
        self._clock = clock
        self._lock = threading.Lock()
        self._failed_at = 0.0
        self._is_on = False

    def failed(self, reason: object, *, exc_info: BaseException | None = None) -> None:
        """`exc_info`: log the traceback of this exception, too."""
        with self._lock:
            self._failed_at = self._clock()
            is_new, self._is_on = not self._is_on, True
        if is_new:
            self._log.error(self._began, reason, exc_info=exc_info)

    def succeeded(self) -> None:
        if not self._is_on:  # nearly always: no lock
            return
        with self._lock:
            is_over = self._is_on and self._clock() - self._failed_at >= _QUIET_S
            if is_over:
                self._is_on = False
        if is_over:
            self._log.warning(self._ended)

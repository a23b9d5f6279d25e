"""A thread writes the log, so that a standard error that nobody reads doesn't block the server."""

import atexit
import logging
from queue import SimpleQueue
from typing import Final

from myna.core.supervision import SupervisedThread

_MOST_WAITING: Final = 10_000
_LAST_LINES_S: Final = 2.0


class ThreadedLog(logging.Handler):
    """Passes records to `inner` on a thread. While it is blocked, records wait up to a bound; the rest are
    counted."""

    def __init__(self, inner: logging.Handler, most_waiting: int = _MOST_WAITING) -> None:
        super().__init__()
        self._inner = inner
        self._most_waiting = most_waiting
        # Bounded by `emit`, which logging calls under a lock: a bounded `Queue` costs a request far more.
        self._waiting: SimpleQueue[logging.LogRecord | None] = SimpleQueue()
        self._num_lost = 0
        self._writer = SupervisedThread("log", self._write)
        self._writer.start()
        atexit.register(self.close)

    def emit(self, record: logging.LogRecord) -> None:
        if self._waiting.qsize() < self._most_waiting:
            self._waiting.put(record)
        else:
            self._num_lost += 1

    def close(self) -> None:
        """Write the waiting records, unless nobody reads them."""
        atexit.unregister(self.close)
        self._waiting.put(None)
        self._writer.stop(_LAST_LINES_S)
        super().close()

    def _write(self) -> None:
        while (record := self._waiting.get()) is not None:
            self._inner.handle(record)
            if self._num_lost:
                lost, self._num_lost = self._num_lost, 0
                text = "%d lines of the log were lost: nobody read it"
                self._inner.handle(logging.LogRecord("myna", logging.WARNING, "", 0, text, (lost,), None))

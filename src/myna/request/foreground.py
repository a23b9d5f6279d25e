"""The requests whose clients wait: the lines of batches give way to them before they take any time of this
process, as they do in the scheduler."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Final

_QUIET_S: Final = 0.1
"""A client that has got its answer often sends the next request."""


class Foreground:
    """All methods must be called in one event loop."""

    def __init__(self, quiet_s: float = _QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._num_running = 0
        self._ended_at = 0.0
        self._none = asyncio.Event()
        self._none.set()

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """A request runs in the block."""
        self._num_running += 1
        self._none.clear()
        try:
            yield
        finally:
            self._num_running -= 1
            if not self._num_running:
                self._ended_at = time.monotonic()
                self._none.set()

    async def quiet(self, at_most_s: float) -> None:
        """Returns when no request runs, nor has just ended; after that time in any case."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._none.wait()
                while (wait_s := self._ended_at + self._quiet_s - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                    await self._none.wait()

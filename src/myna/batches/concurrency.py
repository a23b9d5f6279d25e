"""How many lines of a batch run at once: fewer while a limit of the key refuses them."""

import asyncio
from types import TracebackType


class ConcurrencyLimiter:
    """A context for each attempt of a line. All methods must be called in one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = most
        self._num_running = 0
        self._changed = asyncio.Condition()
        self._resume_at = 0.0

    async def __aenter__(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._num_running < self._limit)
            self._num_running += 1
        try:
            await self._pause()
        except BaseException:
            await self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave()

    def refused(self, wait_s: float) -> None:
        """An attempt has to be made again later: no other is made before, and then half as many at once."""
        now = asyncio.get_running_loop().time()
        if now >= self._resume_at:  # the first refusal of those that ran at once
            self._limit = max(1, self._limit // 2)
        self._resume_at = max(self._resume_at, now + wait_s)

    def answered(self) -> None:
        """An attempt has succeeded: one more may run."""
        self._limit = min(self._most, self._limit + 1)

    async def _pause(self) -> None:
        while True:
            wait_s = self._resume_at - asyncio.get_running_loop().time()
            if wait_s <= 0:
                return
            await asyncio.sleep(wait_s)

    async def _leave(self) -> None:
        self._num_running -= 1
        async with self._changed:
            self._changed.notify_all()

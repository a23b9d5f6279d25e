"""Writes the results of a batch as they come, several at a time. A full disk only delays them."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from myna.batches.output import Output, Result
from myna.core.outage import Outage
from myna.core.supervision import SupervisedTask
from myna.stores.files import Files

_SYNC_S: Final = 1.0
RETRY_S: Final = 5.0

log = logging.getLogger("myna.serving")


class OutputWriter:
    """All methods must be called in one event loop; the disk is used in a thread, one call at a time."""

    def __init__(self, output: Output, files: Files, *, retry_s: float = RETRY_S) -> None:
        self._output = output
        self._files = files
        self._retry_s = retry_s
        self._waiting: list[tuple[Result, asyncio.Future[None]]] = []
        self._synced_at = 0.0
        self._outage = Outage(
            log, "results of batches can't be written: %s", "results of batches are written again"
        )
        self._task = SupervisedTask("writing the results of a batch", self._work)

    async def put(self, result: Result) -> None:
        """Returns when the result is written; it will be, also if the caller is cancelled."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((result, written))
        self._task.start()
        await written

    async def flush(self) -> None:
        """Returns when all results survive a crash of the machine."""
        await self._task.wait()
        await self._persist(self._output.sync)

    async def aclose(self) -> None:
        """Write what the disk takes now."""
        if not await self._task.wait(self._retry_s):
            await self._task.aclose()
        await self._try(self._output.sync)

    async def _work(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            pending = [result for result, _ in group]
            await self._persist(partial(self._output.append, pending))
            for _, written in group:
                if not written.done():  # its caller may be gone
                    written.set_result(None)
            if time.monotonic() - self._synced_at >= _SYNC_S and await self._try(self._output.sync):
                self._synced_at = time.monotonic()

    async def _persist(self, work: Callable[[], None]) -> None:
        """Try until it succeeds."""
        while True:
            if await self._try(work):
                return
            await asyncio.sleep(self._retry_s)

    async def _try(self, work: Callable[[], None]) -> bool:
        try:
            await self._files.disk.run(work)
        except OSError as exc:
            self._outage.failed(exc)
            return False
        self._outage.succeeded()
        return True

"""The batches of all projects: created, looked up and cancelled here, and run in the background."""

import asyncio
import contextlib
import logging
from collections import Counter
from typing import Final

from myna.batches.dispatch import Dispatch, FindModel
from myna.batches.lease import BEAT_S, LEASE_S, BatchServices
from myna.batches.run import BatchRun
from myna.core.batches import Batch, BatchPage, BatchStore
from myna.core.errors import DatabaseError
from myna.core.supervision import SupervisedTask
from myna.stores.database_threads import DatabaseThreads
from myna.stores.files import Files

_MAX_RUNNING: Final = 16
_MAX_OF_PROJECT: Final = 4
"""So that many batches of one project don't keep those of others waiting."""
_LOOK_EVERY_S: Final = 5.0

log = logging.getLogger("myna.serving")


class Batches:
    """All methods must be called in one event loop. `concurrency`: how many lines run at once; `beat_s`: how
    often their progress is written."""

    def __init__(
        self,
        store: BatchStore,
        files: Files,
        threads: DatabaseThreads,
        concurrency: int = 32,
        *,
        beat_s: float = BEAT_S,
    ) -> None:
        self._store = store
        self._files = files
        self._threads = threads
        self._concurrency = concurrency
        self._beat_s = beat_s
        self._running: dict[asyncio.Task[None], str] = {}  # with the project
        self._changed = asyncio.Event()
        self._services: BatchServices | None = None
        self._task = SupervisedTask("claiming batches", self._claim_batches)

    def start(self, dispatch: Dispatch, find_model: FindModel) -> None:
        """Run batches from now on: those of this server, and those whose server has died."""
        self._services = BatchServices(
            store=self._store,
            files=self._files,
            threads=self._threads,
            dispatch=dispatch,
            find_model=find_model,
            slots=asyncio.Semaphore(self._concurrency),
            concurrency=self._concurrency,
            beat_s=self._beat_s,
        )
        self._task.start()

    async def aclose(self) -> None:
        """Stop the batches that run here; another server, or the next start, continues them."""
        await self._task.aclose()
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def create(self, batch: Batch) -> None:
        """Create the batch; its input stays, also if the file is deleted. Raises `FileNotFoundError` if the
        input is not in this server's folder, and `StorageFailed`."""
        await self._files.link(batch.input_file_id, batch.id)
        await self._threads.run(self._store.add, batch)  # a link without a row is an orphan
        self._changed.set()

    async def get(self, project: str, batch_id: str) -> Batch | None:
        return await self._threads.run(self._store.get, project, batch_id)

    async def page(self, project: str, *, after: str | None, limit: int) -> BatchPage | None:
        """None if `after` is not a batch of the project."""
        return await self._threads.run(self._store.page, project, after=after, limit=limit)

    async def cancel(self, project: str, batch_id: str) -> Batch | None:
        """The batch as it is then: being cancelled, unless it has ended."""
        return await self._threads.run(self._store.cancel, project, batch_id, int(self._files.clock()))

    async def _claim_batches(self) -> None:
        while True:
            self._changed.clear()
            while len(self._running) < _MAX_RUNNING and (batch := await self._claim()) is not None:
                self._run(batch)
            # Not `wait_for`, which until Python 3.12 ignores a cancellation as the event is set.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._changed.wait()

    async def _claim(self) -> Batch | None:
        now, running = self._files.clock(), Counter(self._running.values())
        busy = [project for project, num_running in running.items() if num_running >= _MAX_OF_PROJECT]
        try:
            return await self._threads.run(self._store.claim, now, now + LEASE_S, busy)
        except DatabaseError:  # already logged
            return None

    def _run(self, batch: Batch) -> None:
        assert self._services is not None, "batches are claimed after the start"
        task = asyncio.create_task(BatchRun(batch, self._services).run(), name=batch.id)
        self._running[task] = batch.project
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.pop(task, None)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed and is continued later", task.get_name(), exc_info=error)

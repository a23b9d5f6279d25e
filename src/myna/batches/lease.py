"""A server's claim on a batch: the only way in which a run changes the batch's row."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from myna.batches.dispatch import Dispatch, FindModel
from myna.core.batches import Batch, BatchStore
from myna.core.errors import DatabaseError
from myna.core.files import StoredFile
from myna.stores.database_threads import DatabaseThreads
from myna.stores.files import Files

LEASE_S: Final = 15.0
BEAT_S: Final = 2.0
_RETRY_S: Final = 5.0

Stop = Literal["expired", "cancelled", "lost"]

log = logging.getLogger("myna.serving")


class LeaseLost(Exception):
    """Another server runs the batch now."""


@dataclass(frozen=True, slots=True)
class BatchServices:
    """What the batches of a server share. `slots` bounds their requests, `concurrency` those of one batch."""

    store: BatchStore
    files: Files
    threads: DatabaseThreads
    dispatch: Dispatch
    find_model: FindModel
    slots: asyncio.Semaphore
    concurrency: int
    beat_s: float


class Lease:
    """`batch` is the row as it was last seen. `stop` is done when the batch must not go on, and says why."""

    def __init__(self, batch: Batch, services: BatchServices) -> None:
        self.batch = batch
        self.stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        self._services = services
        self._turn = asyncio.Lock()

    async def keep(self, progress: Callable[[], Mapping[str, int]]) -> None:
        """Keep the lease and report the progress until there is a reason to stop."""
        while not self.stop.done():
            now = self._services.files.clock()
            with contextlib.suppress(LeaseLost, DatabaseError):  # an outage is already logged
                await self.change(lease_until=now + LEASE_S, **progress())
            if not self.stop.done() and now >= self.batch.expires_at:
                self.stop.set_result("expired")
            await asyncio.sleep(self._services.beat_s)

    async def change(self, **values: object) -> None:
        """Change the row. Raises `LeaseLost`."""
        services = self._services
        async with self._turn:
            row = await services.threads.run(services.store.change, self.batch, **values)
            self.batch = row or self.batch
        if not self.stop.done():
            if row is None:
                self.stop.set_result("lost")
            elif row.status == "cancelling":
                self.stop.set_result("cancelled")
        if row is None:
            raise LeaseLost

    async def release(self, until: float, **progress: int) -> None:
        """Let another server, or this one after a restart, continue from that time on."""
        if not self.stop.done():  # no beat follows
            self.stop.set_result("lost")
        with contextlib.suppress(LeaseLost, DatabaseError):
            await self.change(lease_until=until, **progress)

    async def end(self, files: Sequence[StoredFile], **values: object) -> None:
        """End the batch with these files, once. Raises `LeaseLost`."""
        services, batch = self._services, self.batch
        while True:
            try:
                row = await services.threads.run(services.store.finish, batch, files, values)
                break
            except DatabaseError:  # already logged; whether it has taken effect is not known
                await asyncio.sleep(_RETRY_S)
                with contextlib.suppress(DatabaseError):
                    row = await services.threads.run(services.store.get, batch.project, batch.id)
                    if row is not None and row.is_finished:
                        break
        if row is None:
            raise LeaseLost
        await services.files.disk.run(services.files.folder.delete, batch.id)

"""One model's place in the pool: what it is, what is loaded of it, who holds it and who waits for it."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from myna.catalog.memory_planner import ResidentModel
from myna.core.backend import LoadedModel, ModelSpec
from myna.core.errors import ModelLoadFailed, MynaError


@dataclass(slots=True, eq=False)
class Slot:
    """`is_leaving`: it will be unloaded when its last holder is gone, so new ones wait for it to return.
    `failure` is of its last load, if that failed after room was made."""

    model: ModelSpec
    loaded: LoadedModel | None = None
    promised_bytes: int = 0
    num_holders: int = 0
    last_used: int = 0
    is_leaving: bool = False
    is_listed: bool = True
    failure: ModelLoadFailed | None = None
    loading: asyncio.Task[None] | None = None
    has_room: bool = False  # the load has begun to take effect, and is finished whoever leaves
    idle_timer: asyncio.TimerHandle | None = None
    _waiters: deque[asyncio.Future[None]] = field(default_factory=deque)

    @property
    def is_open(self) -> bool:
        """Whether who asks now has it at once."""
        return self.loaded is not None and not self.is_leaving and not self.loaded.is_dead()

    @property
    def num_waiting(self) -> int:
        return len(self._waiters)

    @property
    def is_wanted(self) -> bool:
        return bool(self.num_holders or self._waiters)

    def put(self, loaded: LoadedModel, promised_bytes: int) -> None:
        """It is loaded, and may come to take that much memory."""
        self.loaded, self.promised_bytes, self.failure = loaded, promised_bytes, None

    def resident(self, place: int) -> ResidentModel:
        """As `room` counts it; the slot must be loaded."""
        assert self.loaded is not None
        held_bytes = min(self.promised_bytes, self.loaded.held_bytes())
        return ResidentModel(place, self.promised_bytes, held_bytes, bool(self.num_holders), self.last_used)

    async def wait(self) -> None:
        """Until `admit` makes this a holder, or `fail` raises here."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.num_holders -= 1  # admitted and cancelled at once
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def admit(self) -> None:
        """Everyone who waits holds it from now on."""
        for waiter in self._take_waiters():
            self.num_holders += 1
            waiter.set_result(None)

    def fail(self, error: MynaError) -> None:
        for waiter in self._take_waiters():
            waiter.set_exception(error)

    def _take_waiters(self) -> list[asyncio.Future[None]]:
        waiting = [waiter for waiter in self._waiters if not waiter.done()]
        self._waiters.clear()
        return waiting

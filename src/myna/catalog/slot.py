"""One model's slot in the pool: its loaded instance, the number of holders, and the requests waiting for
it."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from myna.catalog.memory_planner import ResidentModel
from myna.core.backend import LoadedModel, ModelSpec
from myna.core.errors import ModelLoadFailed, MynaError


@dataclass(slots=True, eq=False)
class ModelSlot:
    """`is_evicting`: it will be unloaded when its last holder is gone; new requests wait until it is loaded
    again. `failure` is the error of its last load, if that failed after evicting others."""

    model: ModelSpec
    loaded: LoadedModel | None = None
    reserved_bytes: int = 0
    num_holders: int = 0
    last_used: int = 0
    is_evicting: bool = False
    is_listed: bool = True
    failure: ModelLoadFailed | None = None
    loading: asyncio.Task[None] | None = None
    is_committed: bool = False  # others are being unloaded for it, so the load is finished in any case
    idle_timer: asyncio.TimerHandle | None = None
    _waiters: deque[asyncio.Future[None]] = field(default_factory=deque)

    @property
    def is_available(self) -> bool:
        """Whether a request can acquire it immediately."""
        return self.loaded is not None and not self.is_evicting and not self.loaded.is_dead()

    @property
    def num_waiting(self) -> int:
        return len(self._waiters)

    @property
    def is_in_use(self) -> bool:
        return bool(self.num_holders or self._waiters)

    def set_loaded(self, loaded: LoadedModel, reserved_bytes: int) -> None:
        """Set the loaded model and the memory reserved for it."""
        self.loaded, self.reserved_bytes, self.failure = loaded, reserved_bytes, None

    def resident(self, index: int) -> ResidentModel:
        """The model as `memory_planner` counts it; it must be loaded."""
        assert self.loaded is not None
        held_bytes = min(self.reserved_bytes, self.loaded.held_bytes())
        return ResidentModel(index, self.reserved_bytes, held_bytes, bool(self.num_holders), self.last_used)

    async def wait(self) -> None:
        """Wait until `admit` makes the caller a holder, or `fail` raises here."""
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
        """Make all waiting requests holders."""
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

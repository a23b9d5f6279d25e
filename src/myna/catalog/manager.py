"""Loads and unloads models: in what order, for whom, and who must wait. What fits is decided in `room`."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from myna.catalog.memory import Memory
from myna.catalog.memory_planner import Need, need_of, plan_room
from myna.catalog.slot import Slot
from myna.core.backend import Candidate, ModelSize, Prepare
from myna.core.errors import EngineDead, ModelLoadFailed, MynaError, Overloaded
from myna.core.translatable import N_

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`models_bytes` is for all models together, 0 for what the machine has; `memory_bytes` is one
    model's KV cache, as `context_tokens` one model's, where set. A model but `keep` is unloaded when nobody
    asked for it for `idle_s` (0: never). `max_waiting` requests may wait for a model to be loaded."""

    models_bytes: int = 0
    memory_bytes: int = 0
    context_tokens: int = 0
    idle_s: float = 0.0
    keep: str = ""
    max_waiting: int = 1024


class ModelManager:
    """The models that are in memory. One loads at a time, first come first served.

    A model that nobody holds leaves for one that is wanted, the least recently used first. Where that is
    not enough, one that is held takes no new holders until its last is gone: they wait in line behind the
    load that wants its room, so that no stream of requests keeps another model out for ever.
    """

    def __init__(self, prepare: Prepare, memory: Callable[[], Memory], limits: PoolLimits) -> None:
        self._prepare = prepare
        self._memory = memory
        self._limits = limits
        self._line = asyncio.Lock()
        self._freed = asyncio.Event()
        self._num_uses = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.loaded: list[Slot] = []
        self.has_loaded = False

    async def enter(self, slot: Slot) -> None:
        """Hold the slot's model: at once if it is there, else after its load. Raises `ModelLoadFailed`, or
        `Overloaded` where too many wait for it."""
        if slot.is_open:
            slot.num_holders += 1
        elif slot.num_waiting >= self._limits.max_waiting:
            raise Overloaded(
                N_(
                    "{num_waiting} requests wait for {model} to be loaded.",
                    num_waiting=slot.num_waiting,
                    model=slot.model.id,
                )
            )
        else:
            if slot.loading is None:
                slot.loading = self._begin(self._load(slot))
            try:
                await slot.wait()
            except asyncio.CancelledError:
                if not slot.is_wanted and slot.loading is not None and not slot.has_room:
                    slot.loading.cancel()
                    slot.loading = None
                self.touch(slot)
                raise
        self.touch(slot)

    def leave(self, slot: Slot) -> None:
        """The end of a hold."""
        slot.num_holders -= 1
        self.touch(slot)

    def touch(self, slot: Slot) -> None:
        """Whenever someone began or ceased to want it."""
        self._num_uses += 1
        slot.last_used = self._num_uses
        self._freed.set()
        self._await_idleness(slot)

    def change(self, limits: PoolLimits) -> None:
        """Other limits for what is loaded from now on, and for idleness at once."""
        self._limits = limits
        self._freed.set()
        for slot in self.loaded:
            self._await_idleness(slot)

    async def unload(self, slot: Slot) -> None:
        """At once, whoever holds it; nothing happens where nothing is loaded."""
        if slot.idle_timer is not None:
            slot.idle_timer.cancel()
        loaded, slot.loaded = slot.loaded, None
        if loaded is not None:
            self.loaded.remove(slot)
            await loaded.running.aclose()

    async def aclose(self) -> None:
        """End every load and unload everything; idempotent."""
        loads = list(self._tasks)
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        for slot in list(self.loaded):
            slot.fail(EngineDead(N_("The server is shutting down.")))
            await self.unload(slot)

    # --- loading ---

    async def _load(self, slot: Slot) -> None:
        try:
            candidate = await self._prepare(slot.model)
            if (size := candidate.size) is None:
                await self._load_elsewhere(slot, candidate)
            else:
                async with self._line:
                    if not slot.is_open:
                        await self._load_in_turn(slot, candidate, size)
                    slot.admit()
        except MynaError as error:
            slot.fail(error)
        except asyncio.CancelledError:
            if slot.loading is asyncio.current_task():
                slot.fail(EngineDead(N_("The server is shutting down.")))
            raise
        except Exception as error:
            _log.exception("loading %s failed", slot.model.id)
            slot.fail(
                ModelLoadFailed(
                    N_("The model {model!r} can't be loaded: {reason}", model=slot.model.id, reason=error)
                )
            )
        finally:
            if slot.loading is asyncio.current_task():
                slot.loading, slot.has_room = None, False
            self.touch(slot)

    async def _load_elsewhere(self, slot: Slot, candidate: Candidate) -> None:
        """A model that takes no memory here waits for no other load, and no other model leaves for it."""
        if not slot.is_open:
            await self.unload(slot)  # there is something only if it died
            slot.put(await candidate.load(0), 0)
            self.loaded.append(slot)
            self.has_loaded = True
            _log.info("%s is loaded and takes no memory here", slot.model.id)
        slot.admit()

    async def _load_in_turn(self, slot: Slot, candidate: Candidate, size: ModelSize) -> None:
        await self.unload(slot)  # there is something only if it died
        limits = self._limits
        need = need_of(
            slot.model.id, size, context_tokens=limits.context_tokens, memory_bytes=limits.memory_bytes
        )
        kv_bytes = await self._make_room(slot, need)
        try:
            loaded = await candidate.load(kv_bytes)
        except ModelLoadFailed as error:
            slot.failure = error
            raise
        cache_bytes = min(kv_bytes, loaded.running.info.kv_tokens * size.kv_token_bytes)
        slot.put(loaded, need.fixed_bytes + cache_bytes)
        self.loaded.append(slot)
        self.has_loaded = True
        _log.info("%s is loaded and may take %.0f MB", need.id, slot.promised_bytes / 1e6)

    async def _make_room(self, slot: Slot, need: Need) -> int:
        """Unload what must leave, all of it once nobody holds any. Returns the KV cache's room in bytes."""
        leaving: list[Slot] = []
        try:
            while True:
                kv_bytes, chosen = self._plan(slot, need)
                if chosen and slot.failure is not None:
                    raise slot.failure  # it had its chance: others don't leave for it twice
                _stay([other for other in leaving if other not in chosen])
                leaving = chosen
                for other in leaving:
                    other.is_leaving = True
                if not any(other.num_holders for other in leaving):
                    break
                _log.info("%s waits until the requests on %s have ended", need.id, _names(leaving))
                self._freed.clear()
                await self._freed.wait()
            slot.has_room = True
            for other in leaving:
                _log.info("%s makes room for %s", other.model.id, need.id)
                await self.unload(other)
            return kv_bytes
        finally:
            _stay(leaving)

    def _plan(self, slot: Slot, need: Need) -> tuple[int, list[Slot]]:
        residents = [other.resident(place) for place, other in enumerate(self.loaded) if other.promised_bytes]
        plan = plan_room(need, residents, self._memory(), self._limits.models_bytes)
        return plan.kv_bytes, [self.loaded[place] for place in plan.leave]

    # --- idleness ---

    def _await_idleness(self, slot: Slot) -> None:
        """Unload it if nobody wants it for a while; at once if it is not offered any more."""
        if slot.idle_timer is not None:
            slot.idle_timer.cancel()
            slot.idle_timer = None
        if slot.loaded is None or slot.is_wanted:
            return
        idle_s = self._limits.idle_s if slot.model.id != self._limits.keep else 0.0
        if not slot.is_listed:
            self._begin(self._unload_idle(slot, "not offered any more"))
        elif idle_s:
            loop = asyncio.get_running_loop()
            slot.idle_timer = loop.call_later(
                idle_s, lambda: self._begin(self._unload_idle(slot, f"idle for {idle_s:.0f} s"))
            )

    async def _unload_idle(self, slot: Slot, why: str) -> None:
        async with self._line:
            if slot.loaded is not None and not slot.is_wanted:
                _log.info("%s is unloaded: %s", slot.model.id, why)
                await self.unload(slot)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _stay(slots: Sequence[Slot]) -> None:
    """They need not leave after all, or are gone."""
    for slot in slots:
        slot.is_leaving = False
        if slot.loaded is not None:
            slot.admit()


def _names(slots: Sequence[Slot]) -> str:
    return ", ".join(slot.model.id for slot in slots)

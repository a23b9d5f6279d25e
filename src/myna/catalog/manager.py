"""Loads and unloads models, and queues requests for them. `memory_planner` decides what fits."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from myna.catalog.memory import Memory
from myna.catalog.memory_planner import MemoryNeed, memory_need, plan_memory
from myna.catalog.slot import ModelSlot
from myna.core.backend import Candidate, ModelSize, Prepare
from myna.core.errors import EngineDead, ModelLoadFailed, MynaError, Overloaded
from myna.core.translatable import N_

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`models_bytes` limits all models together (0: the machine's memory); `memory_bytes` and
    `context_tokens`, if set, are the KV cache and context of each model. A model other than `keep` is
    unloaded after `idle_s` without a request (0: never). Up to `max_waiting` requests may wait for a model to
    be loaded."""

    models_bytes: int = 0
    memory_bytes: int = 0
    context_tokens: int = 0
    idle_s: float = 0.0
    keep: str = ""
    max_waiting: int = 1024


class ModelManager:
    """The models in memory. One local model loads at a time, first come, first served.

    Unused models are evicted for a requested one, least recently used first. If that is not enough, a model
    in use accepts no new holders until its last one is gone: they wait behind the load that needs its memory,
    so that a steady flow of requests to one model can't starve another.
    """

    def __init__(self, prepare: Prepare, memory: Callable[[], Memory], limits: PoolLimits) -> None:
        self._prepare = prepare
        self._memory = memory
        self._limits = limits
        self._load_lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._num_uses = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.loaded: list[ModelSlot] = []
        self.has_loaded = False

    async def acquire(self, slot: ModelSlot) -> None:
        """Acquire the slot's model, after loading it if necessary. Raises `ModelLoadFailed`, or `Overloaded`
        if too many requests wait for it."""
        if slot.is_available:
            slot.num_holders += 1
        elif slot.num_waiting >= self._limits.max_waiting:
            raise Overloaded(
                N_(
                    "{num_waiting} requests are waiting for {model} to be loaded.",
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
                if not slot.is_in_use and slot.loading is not None and not slot.is_committed:
                    slot.loading.cancel()
                    slot.loading = None
                self.touch(slot)
                raise
        self.touch(slot)

    def release(self, slot: ModelSlot) -> None:
        """Release an acquired model."""
        slot.num_holders -= 1
        self.touch(slot)

    def touch(self, slot: ModelSlot) -> None:
        """Call when a request starts or stops using the slot."""
        self._num_uses += 1
        slot.last_used = self._num_uses
        self._changed.set()
        self._schedule_idle_unload(slot)

    def set_limits(self, limits: PoolLimits) -> None:
        """Apply new limits to later loads, and to idle models immediately."""
        self._limits = limits
        self._changed.set()
        for slot in self.loaded:
            self._schedule_idle_unload(slot)

    async def unload(self, slot: ModelSlot) -> None:
        """Unload immediately, even if held; does nothing if nothing is loaded."""
        if slot.idle_timer is not None:
            slot.idle_timer.cancel()
        loaded, slot.loaded = slot.loaded, None
        if loaded is not None:
            self.loaded.remove(slot)
            await loaded.running.aclose()

    async def aclose(self) -> None:
        """Cancel all loads and unload everything; idempotent."""
        loads = list(self._tasks)
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        for slot in list(self.loaded):
            slot.fail(EngineDead(N_("The server is shutting down.")))
            await self.unload(slot)

    # --- loading ---

    async def _load(self, slot: ModelSlot) -> None:
        try:
            candidate = await self._prepare(slot.model)
            if (size := candidate.size) is None:
                await self._load_remote(slot, candidate)
            else:
                async with self._load_lock:
                    if not slot.is_available:
                        await self._load_local(slot, candidate, size)
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
                slot.loading, slot.is_committed = None, False
            self.touch(slot)

    async def _load_remote(self, slot: ModelSlot, candidate: Candidate) -> None:
        """Load a model that takes no memory here: without waiting for other loads or evicting models."""
        if not slot.is_available:
            await self.unload(slot)  # only if its worker died
            slot.set_loaded(await candidate.load(0), 0)
            self.loaded.append(slot)
            self.has_loaded = True
            _log.info("loaded %s, which takes no memory here", slot.model.id)
        slot.admit()

    async def _load_local(self, slot: ModelSlot, candidate: Candidate, size: ModelSize) -> None:
        await self.unload(slot)  # only if its worker died
        limits = self._limits
        need = memory_need(
            slot.model.id, size, context_tokens=limits.context_tokens, memory_bytes=limits.memory_bytes
        )
        kv_bytes = await self._evict_for(slot, need)
        try:
            loaded = await candidate.load(kv_bytes)
        except ModelLoadFailed as error:
            slot.failure = error
            raise
        info = loaded.running.info
        cache_bytes = min(kv_bytes, size.cache_bytes(info.kv_tokens, 2 * info.max_sequences))
        slot.set_loaded(loaded, need.fixed_bytes + cache_bytes)
        self.loaded.append(slot)
        self.has_loaded = True
        _log.info("loaded %s, which may take up to %.0f MB", need.id, slot.reserved_bytes / 1e6)

    async def _evict_for(self, slot: ModelSlot, need: MemoryNeed) -> int:
        """Evict what must be evicted, all at once when none of it is held. Returns the bytes for the KV
        cache."""
        evicting: list[ModelSlot] = []
        try:
            while True:
                kv_bytes, chosen = self._plan(need)
                if chosen and slot.failure is not None:
                    raise slot.failure  # others are not evicted twice for a model that failed to load
                _cancel_eviction([other for other in evicting if other not in chosen])
                evicting = chosen
                for other in evicting:
                    other.is_evicting = True
                if not any(other.num_holders for other in evicting):
                    break
                _log.info("%s is waiting for the requests to %s to end", need.id, _names(evicting))
                self._changed.clear()
                await self._changed.wait()
            slot.is_committed = True
            for other in evicting:
                _log.info("unloading %s for %s", other.model.id, need.id)
                await self.unload(other)
            return kv_bytes
        finally:
            _cancel_eviction(evicting)

    def _plan(self, need: MemoryNeed) -> tuple[int, list[ModelSlot]]:
        loaded_models = [
            other.resident(index) for index, other in enumerate(self.loaded) if other.reserved_bytes
        ]
        plan = plan_memory(need, loaded_models, self._memory(), self._limits.models_bytes)
        return plan.kv_bytes, [self.loaded[index] for index in plan.evict]

    # --- idleness ---

    def _schedule_idle_unload(self, slot: ModelSlot) -> None:
        """Unload it after being idle for a while; immediately if it is no longer listed."""
        if slot.idle_timer is not None:
            slot.idle_timer.cancel()
            slot.idle_timer = None
        if slot.loaded is None or slot.is_in_use:
            return
        idle_s = self._limits.idle_s if slot.model.id != self._limits.keep else 0.0
        if not slot.is_listed:
            self._begin(self._unload_idle(slot, "no longer listed"))
        elif idle_s:
            loop = asyncio.get_running_loop()
            slot.idle_timer = loop.call_later(
                idle_s, lambda: self._begin(self._unload_idle(slot, f"idle for {idle_s:.0f} s"))
            )

    async def _unload_idle(self, slot: ModelSlot, why: str) -> None:
        async with self._load_lock:
            if slot.loaded is not None and not slot.is_in_use:
                _log.info("unloading %s: %s", slot.model.id, why)
                await self.unload(slot)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _cancel_eviction(slots: Sequence[ModelSlot]) -> None:
    """Their eviction is done or no longer needed."""
    for slot in slots:
        slot.is_evicting = False
        if slot.loaded is not None:
            slot.admit()


def _names(slots: Sequence[ModelSlot]) -> str:
    return ", ".join(slot.model.id for slot in slots)

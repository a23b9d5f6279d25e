"""Which models must be evicted to load another one. Pure: numbers in, a plan out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from myna.catalog.memory import Memory
from myna.core.backend import ModelSize
from myna.core.errors import ModelTooLarge
from myna.core.translatable import N_

# A worker process besides weights and KV cache, where nothing more exact is known: Python, libraries, a
# vocabulary, logits.
WORKER_BYTES: Final = 96 << 20
MIN_KV_TOKENS: Final = 8192  # a model with less KV cache than this is of little use
MIN_STATES: Final = 8  # the same of a recurrent model: four sequences, each with a state to share
# Memory left unplanned: this fraction of the machine's, up to a maximum.
_SPARE_DIVISOR: Final = 16
_MAX_SPARE_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """A model's need: `kv_bytes` of KV cache at least, and more if memory is free, unless `is_exact`."""

    id: str
    fixed_bytes: int
    kv_bytes: int
    is_exact: bool

    @property
    def min_bytes(self) -> int:
        return self.fixed_bytes + self.kv_bytes


@dataclass(frozen=True, slots=True)
class ResidentModel:
    """A loaded model: the bytes reserved for it, the bytes its process holds now, and its last use. `index`
    identifies it to the caller: two versions of a file may be loaded under one id."""

    index: int
    reserved_bytes: int
    held_bytes: int
    is_busy: bool
    last_used: int


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Load with `kv_bytes` of KV cache after evicting the models with the indices in `evict`."""

    kv_bytes: int
    evict: tuple[int, ...]


def memory_need(model: str, size: ModelSize, *, context_tokens: int, memory_bytes: int) -> MemoryNeed:
    """A model's need with the settings `context` and `memory`; 0 means not set."""
    fixed_bytes = size.weights_bytes + (size.process_bytes or WORKER_BYTES)
    if memory_bytes:
        return MemoryNeed(model, fixed_bytes, memory_bytes, is_exact=True)
    tokens = min(size.context_tokens, context_tokens or MIN_KV_TOKENS)
    return MemoryNeed(model, fixed_bytes, size.cache_bytes(tokens, MIN_STATES), is_exact=False)


def capacity(memory: Memory, limit_bytes: int) -> int:
    """The maximum for all models together; `limit_bytes` 0: no configured limit."""
    capacity_bytes = memory.total_bytes - spare_bytes(memory)
    return min(capacity_bytes, limit_bytes) if limit_bytes else capacity_bytes


def spare_bytes(memory: Memory) -> int:
    return min(memory.total_bytes // _SPARE_DIVISOR, _MAX_SPARE_BYTES)


def plan_memory(
    need: MemoryNeed, residents: Sequence[ResidentModel], memory: Memory, limit_bytes: int
) -> MemoryPlan:
    """Evict as few models as possible: idle ones before busy ones, least recently used first.

    Raises `ModelTooLarge` if no eviction would help. A model counts with its reserved bytes, not with what it
    holds now, so that an admitted model never runs out of memory later.
    """
    capacity_bytes = capacity(memory, limit_bytes)
    if need.min_bytes > capacity_bytes:
        raise ModelTooLarge(
            N_(
                "The model {model!r} needs {size} of memory ({parts}), but models may take at most "
                "{limit} here. Lower context or memory, raise models_memory, or serve a smaller model.",
                model=need.id,
                size=_megabytes(need.min_bytes),
                parts=_parts(need),
                limit=_megabytes(capacity_bytes),
            ),
        )
    held = sum(resident.held_bytes for resident in residents)
    usable_bytes = min(capacity_bytes, memory.free_bytes - spare_bytes(memory) + held)
    free = usable_bytes - sum(resident.reserved_bytes for resident in residents)
    evict: list[ResidentModel] = []
    for resident in sorted(residents, key=lambda resident: (resident.is_busy, resident.last_used)):
        if free >= need.min_bytes:
            break
        evict.append(resident)
        free += resident.reserved_bytes
    if free < need.min_bytes:
        raise ModelTooLarge(
            N_(
                "The model {model!r} needs {size} of memory ({parts}), but other programs leave only "
                "{free} of this machine's. Close some of them, lower context or memory, or serve a smaller "
                "model.",
                model=need.id,
                size=_megabytes(need.min_bytes),
                parts=_parts(need),
                free=_megabytes(max(0, usable_bytes)),
            ),
        )
    for resident in reversed(evict[:]):
        if free - resident.reserved_bytes >= need.min_bytes:
            evict.remove(resident)
            free -= resident.reserved_bytes
    share = need.kv_bytes if need.is_exact else max(need.kv_bytes, (free - need.fixed_bytes) // 4)
    return MemoryPlan(share, tuple(resident.index for resident in evict))


def _parts(need: MemoryNeed) -> str:
    return f"weights and process {_megabytes(need.fixed_bytes)}, KV cache {_megabytes(need.kv_bytes)}"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"

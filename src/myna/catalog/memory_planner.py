"""Which models may stay in memory when another wants to be loaded. Pure: numbers in, a plan out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from myna.catalog.memory import Memory
from myna.core.backend import ModelSize
from myna.core.errors import ModelTooLarge
from myna.core.translatable import N_

WORKER_BYTES: Final = 96 << 20  # a worker process besides weights and KV cache: Python, libraries, logits
FLOOR_TOKENS: Final = 8192  # a model that gets less KV cache than this is of little use
# What is never planned with: one part in so many of the machine, or less where that is much.
_SPARE_PART: Final = 16
_MOST_SPARE_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Need:
    """`kv_bytes` of KV cache at least; as a model's share grows with the room unless `is_exact`."""

    id: str
    fixed_bytes: int
    kv_bytes: int
    is_exact: bool

    @property
    def least_bytes(self) -> int:
        return self.fixed_bytes + self.kv_bytes


@dataclass(frozen=True, slots=True)
class ResidentModel:
    """A loaded model: what it may come to take, what its process holds now, when it was last asked.
    `place` names it to the caller: two versions of one file may be loaded under one id."""

    place: int
    promised_bytes: int
    held_bytes: int
    is_busy: bool
    last_used: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Load with that much KV cache once the residents at the places of `leave` are gone."""

    kv_bytes: int
    leave: tuple[int, ...]


def need_of(model: str, size: ModelSize, *, context_tokens: int, memory_bytes: int) -> Need:
    """What the settings `context` and `memory` make of a model's size; 0 is not set."""
    fixed_bytes = size.weights_bytes + WORKER_BYTES
    if memory_bytes:
        return Need(model, fixed_bytes, memory_bytes, is_exact=True)
    tokens = min(size.context_tokens, context_tokens or FLOOR_TOKENS)
    return Need(model, fixed_bytes, tokens * size.kv_token_bytes, is_exact=False)


def capacity(memory: Memory, limit_bytes: int) -> int:
    """The most that all models together may ever take; `limit_bytes` 0 is no limit of the owner's."""
    most = memory.total_bytes - spare_bytes(memory)
    return min(most, limit_bytes) if limit_bytes else most


def spare_bytes(memory: Memory) -> int:
    return min(memory.total_bytes // _SPARE_PART, _MOST_SPARE_BYTES)


def plan_room(need: Need, residents: Sequence[ResidentModel], memory: Memory, limit_bytes: int) -> Plan:
    """The fewest models that must leave: idle ones before busy ones, the least recently used first.

    Raises `ModelTooLarge` where no leaving would help. A model counts with what it may come to take, not
    with what it holds now: one that was let in never fails for room later.
    """
    most = capacity(memory, limit_bytes)
    if need.least_bytes > most:
        raise ModelTooLarge(
            N_(
                "The model {model!r} needs {size} of memory ({parts}), and models may take {limit} "
                "here. Lower context or memory, raise models_memory, or serve a smaller model.",
                model=need.id,
                size=_megabytes(need.least_bytes),
                parts=_parts(need),
                limit=_megabytes(most),
            ),
        )
    held = sum(resident.held_bytes for resident in residents)
    now = min(most, memory.free_bytes - spare_bytes(memory) + held)
    room = now - sum(resident.promised_bytes for resident in residents)
    leave: list[ResidentModel] = []
    for resident in sorted(residents, key=lambda resident: (resident.is_busy, resident.last_used)):
        if room >= need.least_bytes:
            break
        leave.append(resident)
        room += resident.promised_bytes
    if room < need.least_bytes:
        raise ModelTooLarge(
            N_(
                "The model {model!r} needs {size} of memory ({parts}), and other programs leave {free} "
                "of this machine's. Close some of them, lower context or memory, or serve a smaller "
                "model.",
                model=need.id,
                size=_megabytes(need.least_bytes),
                parts=_parts(need),
                free=_megabytes(max(0, now)),
            ),
        )
    for resident in reversed(leave[:]):
        if room - resident.promised_bytes >= need.least_bytes:
            leave.remove(resident)
            room -= resident.promised_bytes
    share = need.kv_bytes if need.is_exact else max(need.kv_bytes, (room - need.fixed_bytes) // 4)
    return Plan(share, tuple(resident.place for resident in leave))


def _parts(need: Need) -> str:
    return f"weights and process {_megabytes(need.fixed_bytes)}, KV cache {_megabytes(need.kv_bytes)}"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"

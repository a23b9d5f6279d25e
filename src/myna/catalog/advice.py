"""What models of the catalog a machine can run, how fast, and which of them to take. Pure: numbers in, advice
out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from myna.catalog.entries import Catalog, CatalogEntry
from myna.catalog.memory_planner import MIN_KV_TOKENS, WORKER_BYTES
from myna.core.backend import KV_CACHE_TYPES

# The share of the measured bandwidth that decoding reaches, with caution: dense models reached 1.04 to 1.16
# on two threads, experts about 0.8.
_USE_OF_BANDWIDTH: Final = 0.8
# Bytes of keys and values per token in 16 bits, by billions of parameters: about the most that models of that
# size have. The planner reads the exact number from the file before it loads it.
_KV_TOKEN_BYTES: Final = ((1.0, 32 << 10), (10.0, 144 << 10), (float("inf"), 256 << 10))
# Slower models are not recommended: people read about as fast. Texts are embedded in batches, which are much
# faster than one answer.
_LEAST_TOKENS_PER_S: Final = {"chat": 7.0, "code": 7.0, "embeddings": 5.0}


@dataclass(frozen=True, slots=True)
class Machine:
    """`capacity_bytes` is the memory that models may use, `bytes_per_s` how fast it is read. `can_run` says
    whether an installed engine may run a model. `kv_cache_types` are those of models that don't have
    `kv_cache_type`."""

    capacity_bytes: int
    bytes_per_s: float
    can_run: Callable[[CatalogEntry], bool]
    kv_cache_type: str = "auto"
    kv_cache_types: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelAdvice:
    """A model for this machine. `fits`: into its memory; `can_run`: an installed engine knows the
    architecture. `best_for` are the purposes for which it is the one to take."""

    entry: CatalogEntry
    needed_bytes: int
    tokens_per_s: float
    fits: bool
    can_run: bool
    best_for: tuple[str, ...] = ()


def model_advice(catalog: Catalog, machine: Machine) -> list[ModelAdvice]:
    """Every model of the catalog; the recommended ones first, then those that run here, fast ones last since
    they are the smallest."""
    best: dict[str, list[str]] = {}
    for purpose, names in catalog.recommended.items():
        chosen = _choose(purpose, [_advice(entry, machine, ()) for entry in _entries(catalog, names)])
        if chosen is not None:
            best.setdefault(chosen.entry.id, []).append(purpose)
    listed = [_advice(entry, machine, tuple(best.get(entry.id, ()))) for entry in catalog.entries]
    return sorted(listed, key=lambda advice: (not advice.best_for, not (advice.fits and advice.can_run)))


def recommended(catalog: Catalog, machine: Machine, purpose: str) -> ModelAdvice | None:
    """The model to take for a purpose; None if none of those that are recommended for it runs here."""
    return next((advice for advice in model_advice(catalog, machine) if purpose in advice.best_for), None)


def needed_bytes(entry: CatalogEntry, kv_cache_type: str = "auto") -> int:
    """The approximate memory that a model needs, with a KV cache of the least useful size."""
    kv_token_bytes = next(num_bytes for billions, num_bytes in _KV_TOKEN_BYTES if entry.parameters < billions)
    share = KV_CACHE_TYPES[kv_cache_type] / KV_CACHE_TYPES["auto"]
    kv_tokens = min(MIN_KV_TOKENS, entry.context_tokens)
    return entry.num_bytes + WORKER_BYTES + int(kv_tokens * kv_token_bytes * share)


def _advice(entry: CatalogEntry, machine: Machine, best_for: tuple[str, ...]) -> ModelAdvice:
    needed = needed_bytes(entry, machine.kv_cache_types.get(entry.id, machine.kv_cache_type))
    speed = machine.bytes_per_s * _USE_OF_BANDWIDTH / entry.active_bytes
    fits = needed <= machine.capacity_bytes
    return ModelAdvice(entry, needed, speed, fits, machine.can_run(entry), best_for)


def _entries(catalog: Catalog, names: Sequence[str]) -> list[CatalogEntry]:
    by_id = {entry.id: entry for entry in catalog.entries}
    return [by_id[name] for name in names]


def _choose(purpose: str, candidates: Sequence[ModelAdvice]) -> ModelAdvice | None:
    """The best that is fast enough; if none is, the fastest."""
    usable = [advice for advice in candidates if advice.fits and advice.can_run]
    fast = [advice for advice in usable if advice.tokens_per_s >= _LEAST_TOKENS_PER_S[purpose]]
    return fast[0] if fast else max(usable, key=lambda advice: advice.tokens_per_s, default=None)

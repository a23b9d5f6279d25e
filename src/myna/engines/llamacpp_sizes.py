"""How llama.cpp's engine divides its memory between cells and states."""

from dataclasses import dataclass
from typing import Final

import psutil

from myna.core.errors import ModelLoadFailed
from myna.core.translatable import N_
from myna.engines.llamacpp_library import CELL_STEP, Costs

MAX_SEQUENCES: Final = 256
DEFAULT_KV_TOKENS: Final = 32_768
FEW_STATES: Final = 8
# States beyond the first few, if no memory is set: llama.cpp touches all of them when it starts.
_DEFAULT_STATE_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Sizes:
    """`num_ids` are llama.cpp's sequences, each of which may have a state; the scheduler uses the first
    `num_sequences`."""

    kv_tokens: int
    num_sequences: int
    num_ids: int


def divide(costs: Costs, context: int, memory_bytes: int, max_kv_bytes: int) -> Sizes:
    """The arguments after `costs` are those of `registry.load_engine`. Raises `ModelLoadFailed`."""
    budget = memory_bytes or max_kv_bytes or psutil.virtual_memory().available // 4
    num_ids = num_sequences = MAX_SEQUENCES
    if costs.state_bytes:
        num_ids = _num_states(costs, context, budget, is_set=memory_bytes > 0)
        num_sequences = num_ids // 2  # one of its own, and one before it
    left = budget - num_ids * costs.state_bytes
    limit = left // max(1, costs.cell_bytes) // CELL_STEP * CELL_STEP
    if limit < CELL_STEP:
        raise ModelLoadFailed(
            N_(
                "{size} MiB can't hold the KV cache of {num_tokens} tokens, the minimum for this model.",
                size=budget >> 20,
                num_tokens=CELL_STEP,
            )
        )
    wanted = limit if memory_bytes else max(context, DEFAULT_KV_TOKENS)
    most = num_sequences * _in_steps(context)
    return Sizes(min(limit, _in_steps(wanted), most), num_sequences, num_ids)


def _num_states(costs: Costs, context: int, budget: int, *, is_set: bool) -> int:
    """A few states come first, then room for one context; both share the rest."""
    state_bytes = costs.state_bytes
    left = max(0, budget - FEW_STATES * state_bytes - context * costs.cell_bytes) // 2
    more = left if is_set else min(left, _DEFAULT_STATE_BYTES)
    count = min(FEW_STATES + more // state_bytes, budget // 2 // state_bytes, MAX_SEQUENCES)
    if count < 2:
        raise ModelLoadFailed(
            N_(
                "{size} MiB can't hold two states of {state_size} MiB, the minimum for this model.",
                size=budget >> 20,
                state_size=-(-state_bytes >> 20),
            )
        )
    return count


def _in_steps(num_tokens: int) -> int:
    return -(-num_tokens // CELL_STEP) * CELL_STEP

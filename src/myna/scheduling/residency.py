"""Who lies in the engine's KV cache: sequence ids, shared beginnings, and donors kept for reuse."""

from typing import Final, Protocol

from myna.core.generator import ModelInfo
from myna.scheduling.donors import Donors
from myna.scheduling.prefixes import BLOCK_TOKENS, Match, PrefixIndex, block_hashes
from myna.scheduling.sequence import Resident, Sequence

_WORTH_WAITING_TOKENS: Final = 2 * BLOCK_TOKENS


class KeyValues(Protocol):
    """The part of `engines.base.Engine` that moves KV about."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def can_trim(self) -> bool: ...
    @property
    def donor_tokens(self) -> int: ...
    @property
    def free_tokens(self) -> int: ...
    def fork(self, source: int, target: int, num_tokens: int) -> None: ...
    def trim(self, sequence: int, num_tokens: int) -> None: ...
    def free(self, sequence: int) -> None: ...


class Residency:
    """Gives sequences their place in the engine. Donors are finished sequences, least recently used
    first, within the engine's `donor_tokens`; they yield whenever ids or room run short."""

    __slots__ = ("_free_slots", "_kv", "donors", "index")

    def __init__(self, kv: KeyValues) -> None:
        self._kv = kv
        self.index = PrefixIndex()
        self._free_slots = list(range(kv.info.max_sequences - 1, -1, -1))
        self.donors = Donors()

    @property
    def num_free_slots(self) -> int:
        return len(self._free_slots)

    def settle(self, sequence: Sequence, num_wrong: int) -> None:
        """Forget the last tokens, which were guessed and wrong."""
        resident = sequence.resident
        assert resident is not None
        resident.computed -= num_wrong
        if num_wrong:
            self._kv.trim(resident.slot, resident.computed)

    def has_room(self, num_tokens: int) -> bool:
        """Whether that many more tokens fit, without donors if need be."""
        while self._kv.free_tokens < num_tokens:
            if not self.evict_one():
                return False
        return True

    def is_worth_waiting(self, sequence: Sequence) -> bool:
        """Whether another sequence is about to compute a beginning that this one can then share."""
        match = self._find(sequence)
        return (
            match is not None
            and match.resident not in self.donors
            and match.common - match.ready >= _WORTH_WAITING_TOKENS
        )

    def begin(self, sequence: Sequence, committed_tokens: int, num_running: int) -> bool:
        """Place a sequence, sharing the longest computed beginning. `committed_tokens` are promised to
        the `num_running` others, which also grow; alone, a sequence always finds its place."""
        match = self._find(sequence)
        if match is not None and match.ready == 0:
            match = None
        source = match.resident if match else None
        reused = match.ready if match else 0
        needed = len(sequence.tokens) - reused + BLOCK_TOKENS
        if num_running:
            needed += committed_tokens + num_running * BLOCK_TOKENS
        takes_over = source in self.donors and source is not None and reused == source.computed
        while not (takes_over or self._free_slots) or self._kv.free_tokens < needed:
            if self._evict(but=source):
                continue
            if num_running or not (takes_over or self._free_slots):
                return False
            break
        if source is None:
            slot = self._free_slots.pop()
        elif takes_over:
            self.donors.remove(source)
            self.index.drop(source)
            slot = source.slot
        else:
            slot = self._free_slots.pop()
            self._kv.fork(source.slot, slot, reused)
            self.donors.touch(source)
        self._place(sequence, slot, reused)
        return True

    def fork(self, source: Sequence, target: Sequence) -> bool:
        """`target` shares the whole prompt of `source`; False if no sequence id is free."""
        assert source.resident is not None
        if not self._free_slots and not self.evict_one():
            return False
        slot = self._free_slots.pop()
        self._kv.fork(source.resident.slot, slot, source.num_prompt)
        target.blocks = source.blocks
        self._place(target, slot, source.num_prompt)
        return True

    def retire(self, sequence: Sequence) -> None:
        """The sequence left; what it computed becomes a donor as far as the engine's budget goes."""
        resident = self._lift(sequence)
        # An answer may have ended among guessed tokens: what is computed beyond its end is no one's.
        keep = min(resident.computed, len(resident.tokens), self._kv.donor_tokens)
        if keep < resident.computed and not self._kv.can_trim:
            keep = 0
        if keep < BLOCK_TOKENS:
            self._free(resident)
            return
        if keep < resident.computed:
            self._kv.trim(resident.slot, keep)
        resident.computed = keep
        resident.tokens = resident.tokens[:keep]
        known = resident.blocks[: keep // BLOCK_TOKENS]
        resident.blocks = block_hashes(resident.tokens, resident.salt, known)
        self.index.put(resident)
        self.donors.add(resident)
        while self.donors.num_tokens > self._kv.donor_tokens:
            self.evict_one()

    def forget(self, sequence: Sequence) -> None:
        """The sequence gives up its place; nothing of it is kept."""
        self._free(self._lift(sequence))

    def evict_one(self) -> bool:
        """Free the donor that was not used for the longest time."""
        return self._evict(but=None)

    def _find(self, sequence: Sequence) -> Match | None:
        """What can be shared: at least one token stays to compute, and with prompt log-probabilities all,
        since the first is wanted. A state that can't be trimmed is shared whole or not at all."""
        request = sequence.job.request
        if request.num_prompt_logprobs is not None and not sequence.job.is_prompt_done:
            sequence.blocks = []
        if sequence.blocks is None:
            sequence.blocks = block_hashes(request.prompt_tokens, request.cache_salt)
        match = self.index.find(sequence.tokens, sequence.blocks, request.cache_salt)
        if match is None:
            return None
        most = len(sequence.tokens) - 1
        match = Match(match.resident, min(match.common, most), min(match.ready, most))
        if not self._kv.can_trim and match.ready != match.resident.computed:
            return None
        return match

    def _place(self, sequence: Sequence, slot: int, computed: int) -> None:
        blocks = sequence.blocks or []
        sequence.resident = Resident(slot, sequence.tokens, computed, sequence.job.request.cache_salt, blocks)
        self.index.put(sequence.resident)

    def _lift(self, sequence: Sequence) -> Resident:
        resident = sequence.resident
        assert resident is not None
        sequence.resident = None
        self.index.drop(resident)
        return resident

    def _evict(self, but: Resident | None) -> bool:
        victim = self.donors.oldest(but)
        if victim is None:
            return False
        self.donors.remove(victim)
        self.index.drop(victim)
        self._free(victim)
        return True

    def _free(self, resident: Resident) -> None:
        self._kv.free(resident.slot)
        self._free_slots.append(resident.slot)

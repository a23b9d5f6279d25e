"""Which running sequences give up their place: those of the owner who holds most. Only decides."""

from collections.abc import Collection

from myna.scheduling.fair_queue import FairQueue, Share, cost, rank
from myna.scheduling.kv_cache import BLOCK_TOKENS, KVCacheManager, KVStorage
from myna.scheduling.sequence import Sequence


class Preemption:
    """What an owner holds is a part of the KV cache or of its slots, whichever is larger (dominant resource).
    As for tokens, a higher priority counts less."""

    __slots__ = ("_kv", "_queue")

    def __init__(self, kv: KVStorage, queue: FairQueue[Sequence]) -> None:
        self._kv = kv
        self._queue = queue

    def youngest_of_largest(self, running: Collection[Sequence]) -> Sequence:
        """The youngest sequence of the lowest priority of the owner who holds most; one in the background if
        there is one."""
        held, share_of = self._held(running), self._queue.share_of

        def order(sequence: Sequence) -> tuple[bool, float, tuple[int, int, int]]:
            share = share_of(sequence)
            return share.is_background, held[share], rank(sequence)

        return max(running, key=order)

    def victims(
        self, sequence: Sequence, running: Collection[Sequence], kv_cache: KVCacheManager
    ) -> list[Sequence] | None:
        """The sequences to preempt, so that the waiting one finds room; None if that would take one from an
        owner who then had less than this one. What is in the background always gives way to what isn't."""
        share = self._queue.share_of(sequence)
        held = self._held(running)
        share_after = held.pop(share, 0.0) + self._part(sequence)
        gives_way = {other for other in held if other.is_background and not share.is_background}
        if share_after > max(held.values(), default=0.0) and not gives_way:
            return None
        by_share: dict[Share[Sequence], list[Sequence]] = {}
        for other in sorted(running, key=rank):
            if (owner := self._queue.share_of(other)) is not share:
                by_share.setdefault(owner, []).append(other)
        needs_slot = not kv_cache.free_slots and not kv_cache.prefix_cache.num_tokens
        missing = self._missing_tokens(sequence, running, kv_cache)
        victims: list[Sequence] = []
        while missing > 0 or (needs_slot and not victims):
            after = {owner: held[owner] - self._part(its[-1]) for owner, its in by_share.items() if its}
            loser = max(after, key=lambda owner: (owner in gives_way, after[owner]), default=None)
            if loser is None or (after[loser] < share_after and loser not in gives_way):
                return None
            held[loser] = after[loser]
            victims.append(victim := by_share[loser].pop())
            missing -= len(victim.tokens) + BLOCK_TOKENS
        return victims

    def _part(self, sequence: Sequence) -> float:
        info = self._kv.info
        return max(1 / info.max_sequences, len(sequence.tokens) / info.kv_tokens) * cost(sequence)

    def _held(self, running: Collection[Sequence]) -> dict[Share[Sequence], float]:
        held: dict[Share[Sequence], float] = {}
        for sequence in running:
            share = self._queue.share_of(sequence)
            held[share] = held.get(share, 0.0) + self._part(sequence)
        return held

    def _missing_tokens(
        self, sequence: Sequence, running: Collection[Sequence], kv_cache: KVCacheManager
    ) -> int:
        """How many more tokens must be free for the sequence to start, with room for the others to grow."""
        others = sum(
            len(other.tokens) - other.entry.computed + BLOCK_TOKENS for other in running if other.entry
        )
        free = self._kv.free_tokens + kv_cache.prefix_cache.num_tokens
        return len(sequence.tokens) + BLOCK_TOKENS + others - free

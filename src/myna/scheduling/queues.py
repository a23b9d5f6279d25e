"""The running and the waiting sequences: who starts, and who gives up its place. Order: see `fair_queue`."""

import heapq
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from myna.scheduling.batch import Batch
from myna.scheduling.fair_queue import FairQueue, Share, rank
from myna.scheduling.kv_cache import KVCacheManager, KVStorage
from myna.scheduling.preemption import Preemption
from myna.scheduling.sequence import Sequence, SequenceGroup

_SHARED_DECODES: Final = 64
_MIN_DECODES: Final = 4
_BACKGROUND_EVERY: Final = 32
_BACKGROUND_DECODES: Final = 4
_BACKGROUND_TOKENS: Final = 16


class _Turn(NamedTuple):
    """A share's place in the order of a step, and its sequences that need prompt tokens."""

    served: float
    rank: tuple[int, int, int]
    share: Share[Sequence]
    todo: Iterator[Sequence]


_Turns = tuple[list[Sequence], list[Sequence]]
"""The sequences of an owner or a request that decode in this step, and the others of it."""


class BackgroundShare(NamedTuple):
    """How much of what is in the background a step computes: prompt tokens, others included, and decodes."""

    prompt_tokens: int
    decodes: int


class RequestQueues:
    """`running` sequences have a slot in the engine; `waiting` ones have none yet, or lost theirs
    (preempted), or found none free (forks)."""

    __slots__ = (
        "_is_full",
        "_num_held_back",
        "_preemption",
        "kv_cache",
        "num_preempted",
        "running",
        "waiting",
    )

    def __init__(self, kv: KVStorage) -> None:
        self.kv_cache = KVCacheManager(kv)
        self.waiting = FairQueue[Sequence]()
        self._preemption = Preemption(kv, self.waiting)
        self.running: dict[Sequence, None] = {}
        self.num_preempted = 0
        self._is_full = False
        self._num_held_back = 0

    def reserve_decodes(self) -> None:
        """Reserve room for one more token of each running sequence, preempting some if needed."""
        while not self.kv_cache.has_room(len(self.running)) and self.preempt_one():
            pass

    def rebalance(self) -> None:
        """If the last step had no room for a waiting sequence whose owner has less than another owner:
        preempt the latter's youngest sequences and start the former's first one. At most one per step, before
        the step's batch is built."""
        if not self._is_full:
            return
        self._is_full = False
        for share in self.waiting.in_turn():
            sequence = share.waiting[0]
            if self.kv_cache.should_wait(sequence):
                continue
            victims = self._preemption.victims(sequence, self.running, self.kv_cache)
            if victims is not None:
                for victim in victims:
                    self.num_preempted += 1
                    self.preempt(victim)
                self.start(sequence)
                return

    def background_share(self, batch: Batch, max_tokens: int) -> BackgroundShare:
        """What a step may compute of what is in the background: everything if it has nothing else to compute.
        Otherwise nothing in most steps, and little in some, so that nothing waits for ever."""
        if not batch.rows:
            return BackgroundShare(max_tokens, len(self.running))
        self._num_held_back += 1
        if self._num_held_back % _BACKGROUND_EVERY:
            return BackgroundShare(0, 0)
        return BackgroundShare(int(batch.prompt_work) + _BACKGROUND_TOKENS, _BACKGROUND_DECODES)

    def in_class(self, *, is_background: bool, decodes: int | None = None) -> Collection[Sequence]:
        """The running sequences that are in the background, or the others; at most so many that decode, in
        turns."""
        waiting, found = self.waiting, list[Sequence]()
        if waiting.num_background in (0, waiting.num_shares):
            if is_background != bool(waiting.num_background):
                return ()
            if decodes is None:
                return self.running
            found = list(self.running)
        else:
            found = [one for one in self.running if waiting.share_of(one).is_background is is_background]
        if decodes is None or len(found) <= decodes:
            return found
        decoding = [one for one in found if one.is_decoding][:decodes]
        for sequence in decoding:  # to the end: the others are next
            del self.running[sequence]
            self.running[sequence] = None
        return [*decoding, *(one for one in found if not one.is_decoding)]

    def skip_decodes(
        self, candidates: Collection[Sequence], most: int, *, is_background: bool
    ) -> set[Sequence]:
        """Those of the running sequences that don't decode in this step. If there are several owners, each
        decodes a limited number at a time, in turns: otherwise one owner's many sequences would slow down
        every step of the others. So would one request's many those of the same owner's others: of all of
        them, `most` decode, but at least one of each request."""
        num_background = self.waiting.num_background
        num_shares = num_background if is_background else self.waiting.num_shares - num_background
        if num_shares < 2 and len(candidates) <= most:
            return set()
        decoding = [sequence for sequence in candidates if sequence.is_decoding]
        is_shared = num_shares > 1
        turns = (
            _turns_of_owners(decoding, self.waiting, num_shares)
            if is_shared
            else _turns_of_requests(decoding, most)
        )
        skipped = set[Sequence]()
        for first, others in turns:
            skipped.update(others)
            for sequence in first:  # to the end: the others are next
                del self.running[sequence]
                self.running[sequence] = None
            for sequence in others:
                self.waiting.share_of(sequence).charge(sequence, -1)  # `charge_decodes` counts all
        return skipped

    def add_prompts(
        self, batch: Batch, unfinished: Iterable[Sequence], max_tokens: int, *, is_background: bool
    ) -> None:
        """Continue the prompts of running sequences that are `unfinished`, and start waiting ones of that
        class, while the KV cache and the step's token budget have room; the least served owners first."""
        prompts: dict[Share[Sequence], list[Sequence]] = {}
        for sequence in unfinished:
            prompts.setdefault(self.waiting.share_of(sequence), []).append(sequence)
        turns = [
            _Turn(share.served, rank(todo[0]), share, iter(todo))
            for share in self.waiting.shares()
            if share.is_background is is_background and (todo := [*prompts.get(share, ()), *share.waiting])
        ]
        heapq.heapify(turns)
        while turns and batch.prompt_work < max_tokens:
            turn = turns[0]
            candidate = next(turn.todo, None)
            if candidate is None:
                heapq.heappop(turns)
            elif candidate.entry is not None or self._may_start(candidate):
                before = batch.num_prompt_tokens
                batch.add_prompt(candidate, max_tokens)
                turn.share.charge(candidate, batch.num_prompt_tokens - before)
                heapq.heapreplace(turns, turn._replace(served=turn.share.served))

    def start(self, sequence: Sequence) -> bool:
        """Allocate a slot and run the waiting sequence; False while there is no room."""
        committed = sum(len(other.tokens) - other.entry.computed for other in self.running if other.entry)
        if not self.kv_cache.allocate(sequence, committed, len(self.running)):
            return False
        group = sequence.group
        if not group.is_prompt_done and sequence.entry:
            group.cached_tokens = sequence.entry.computed
        self.waiting.pop(sequence)
        self.running[sequence] = None
        return True

    def start_alone(self, sequence: Sequence) -> None:
        """Run a preempted sequence, preempting as many others as needed."""
        while not self.start(sequence):
            if not self.preempt_one(keep=0):
                raise AssertionError("an admitted request fits alone")

    def fork(self, sequence: Sequence) -> None:
        """Run another candidate on the first one's prompt; without a free slot it waits."""
        if self.kv_cache.fork(sequence.group.candidates[0], sequence):
            self.waiting.fork(sequence)
            self.running[sequence] = None
        else:
            self.waiting.push(sequence)

    def preempt_one(self, keep: int = 1) -> bool:
        """Preempt the youngest sequence of the owner who holds most; its KV is recomputed later."""
        if len(self.running) <= keep:
            return False
        self.num_preempted += 1
        self.preempt(self._preemption.youngest_of_largest(self.running))
        return True

    def preempt(self, sequence: Sequence) -> None:
        del self.running[sequence]
        self.kv_cache.free(sequence)
        self.waiting.push(sequence)  # before `stop`, which forgets shares that have nothing left
        self.waiting.stop(sequence)

    def finish(self, sequence: Sequence) -> None:
        """The sequence has ended, running or not; what it computed may be reused."""
        if sequence in self.running:
            del self.running[sequence]
            self.kv_cache.release(sequence)
            self.waiting.stop(sequence)
        else:
            self.waiting.remove(sequence)

    def remove(self, group: SequenceGroup) -> None:
        """Remove an unfinished request."""
        for sequence in group.candidates:
            self.finish(sequence)

    def _may_start(self, sequence: Sequence) -> bool:
        """Start the sequence unless it waits for another's prefix. If there is no room, nobody else starts in
        this step, so that small requests don't pass large ones for ever."""
        if self._is_full or self.kv_cache.should_wait(sequence):
            return False
        self._is_full = not self.start(sequence)
        return not self._is_full


def _turns_of_owners(
    sequences: Collection[Sequence], queue: FairQueue[Sequence], num_owners: int
) -> Iterator[_Turns]:
    by_share: dict[Share[Sequence], list[Sequence]] = {}
    for sequence in sequences:
        by_share.setdefault(queue.share_of(sequence), []).append(sequence)
    most = max(_MIN_DECODES, _SHARED_DECODES // num_owners)
    for its in by_share.values():
        if len(its) > most:
            yield its[:most], its[most:]


def _turns_of_requests(sequences: Collection[Sequence], most: int) -> Iterator[_Turns]:
    """Those with few sequences have them first, so that ordinary streams go on. A request that is alone is as
    fast as it can be."""
    by_request: dict[SequenceGroup, list[Sequence]] = {}
    for sequence in sequences:
        by_request.setdefault(sequence.group, []).append(sequence)
    num_left = len(by_request)
    if num_left > 1:
        for its in sorted(by_request.values(), key=len):
            size = max(1, most // num_left)
            if len(its) > size:
                yield its[:size], its[size:]
            most -= min(size, len(its))
            num_left -= 1

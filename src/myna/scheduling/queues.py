"""The running, preempted and waiting sequences. Order: by priority, then round-robin over owners."""

from collections import OrderedDict, deque
from collections.abc import Iterator

from myna.scheduling.batch import Batch
from myna.scheduling.kv_cache import KVCacheManager, KVStorage
from myna.scheduling.sequence import Sequence, SequenceGroup


class FairQueue:
    """Waiting sequences. An owner with a thousand requests delays another owner's request by one turn at
    most."""

    __slots__ = ("_levels", "_size")

    def __init__(self) -> None:
        self._levels: dict[int, OrderedDict[str, deque[Sequence]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Sequence]:
        for level in self._levels.values():
            for queue in level.values():
                yield from queue

    def push(self, sequence: Sequence) -> None:
        request = sequence.group.request
        owners = self._levels.get(request.priority)
        if owners is None:
            self._levels[request.priority] = owners = OrderedDict()
            self._levels = dict(sorted(self._levels.items(), reverse=True))
        owners.setdefault(request.owner, deque()).append(sequence)
        self._size += 1

    def pop(self) -> Sequence | None:
        """The next sequence; its owner moves to the end of the line."""
        for priority, owners in self._levels.items():
            owner, queue = next(iter(owners.items()))
            sequence = queue.popleft()
            self._size -= 1
            if queue:
                owners.move_to_end(owner)
            else:
                del owners[owner]
                if not owners:
                    del self._levels[priority]
            return sequence
        return None

    def push_back(self, sequence: Sequence) -> None:
        """Undo a `pop`: the sequence becomes its owner's first, and its owner the next in turn."""
        self.push(sequence)
        owners = self._levels[sequence.group.request.priority]
        queue = owners[sequence.group.request.owner]
        queue.rotate(1)
        owners.move_to_end(sequence.group.request.owner, last=False)

    def remove(self, sequence: Sequence) -> bool:
        request = sequence.group.request
        owners = self._levels.get(request.priority)
        queue = owners.get(request.owner) if owners else None
        if not owners or queue is None or sequence not in queue:
            return False
        queue.remove(sequence)
        self._size -= 1
        if not queue:
            del owners[request.owner]
            if not owners:
                del self._levels[request.priority]
        return True


class RequestQueues:
    """`running` sequences have a slot in the engine. `preempted` ones lost theirs (or, as forks, found none
    free) and are served before the `waiting` ones."""

    __slots__ = ("kv_cache", "num_preempted", "preempted", "running", "waiting")

    def __init__(self, kv: KVStorage) -> None:
        self.kv_cache = KVCacheManager(kv)
        self.waiting = FairQueue()
        self.preempted: list[Sequence] = []
        self.running: dict[Sequence, None] = {}
        self.num_preempted = 0

    def reserve_decodes(self) -> None:
        """Reserve room for one more token of each running sequence, preempting some if needed."""
        while not self.kv_cache.has_room(len(self.running)) and self.preempt_one():
            pass

    def admit(self, batch: Batch, max_tokens: int) -> None:
        """Start preempted and waiting sequences while the KV cache and the step's token budget have room."""
        while self.preempted and batch.prompt_work < max_tokens:
            if not self.start(self.preempted[0]):
                return
            batch.add_prompt(self.preempted.pop(0), max_tokens)
        deferred: list[Sequence] = []
        while batch.prompt_work < max_tokens and (sequence := self.waiting.pop()):
            if self.kv_cache.should_wait(sequence):
                deferred.append(sequence)
            elif self.start(sequence):
                batch.add_prompt(sequence, max_tokens)
            else:
                deferred.append(sequence)
                break
        for sequence in reversed(deferred):
            self.waiting.push_back(sequence)

    def start(self, sequence: Sequence) -> bool:
        """Allocate a slot and run the sequence; False while there is no room."""
        committed = sum(len(other.tokens) - other.entry.computed for other in self.running if other.entry)
        if not self.kv_cache.allocate(sequence, committed, len(self.running)):
            return False
        group = sequence.group
        if not group.is_prompt_done and sequence.entry:
            group.cached_tokens = sequence.entry.computed
        self.running[sequence] = None
        return True

    def start_alone(self, sequence: Sequence) -> None:
        """Run a preempted sequence, preempting as many others as needed."""
        while not self.start(sequence):
            if not self.preempt_one(keep=0):
                raise AssertionError("an admitted request fits alone")
        self.preempted.remove(sequence)

    def fork(self, sequence: Sequence) -> None:
        """Run another candidate on the first one's prompt; without a free slot it waits as preempted."""
        if self.kv_cache.fork(sequence.group.candidates[0], sequence):
            self.running[sequence] = None
        else:
            self.preempted.append(sequence)

    def preempt_one(self, keep: int = 1) -> bool:
        """Preempt the newest sequence of the lowest priority; its KV is recomputed later."""
        if len(self.running) <= keep:
            return False
        self.num_preempted += 1
        self.preempt(
            min(
                self.running,
                key=lambda other: (other.group.request.priority, -other.group.order, -other.choice),
            )
        )
        return True

    def preempt(self, sequence: Sequence) -> None:
        del self.running[sequence]
        self.kv_cache.free(sequence)
        self.preempted.append(sequence)
        self.preempted.sort(
            key=lambda other: (-other.group.request.priority, other.group.order, other.choice)
        )

    def finish(self, sequence: Sequence) -> None:
        """The sequence has ended, running or not; what it computed may be reused."""
        if sequence in self.running:
            del self.running[sequence]
            self.kv_cache.release(sequence)
        elif sequence in self.preempted:
            self.preempted.remove(sequence)

    def remove(self, group: SequenceGroup) -> None:
        """Remove an unfinished request."""
        for sequence in group.candidates:
            self.finish(sequence)
        if not group.is_prompt_done:
            self.waiting.remove(group.candidates[0])

"""Which sequences run, are preempted or wait; who is next: by priority, then owners in turn."""

from collections import OrderedDict, deque
from collections.abc import Iterator

from myna.scheduling.batch import Batch
from myna.scheduling.kv_cache import KeyValues, KVCacheManager
from myna.scheduling.sequence import Sequence, SequenceGroup


class FairQueue:
    """Waiting sequences. An owner with a thousand requests delays another's one by one turn at most."""

    __slots__ = ("_levels", "_size")

    def __init__(self) -> None:
        self._levels: dict[int, OrderedDict[str, deque[Sequence]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Sequence]:
        for level in self._levels.values():
            for line in level.values():
                yield from line

    def push(self, sequence: Sequence) -> None:
        request = sequence.group.request
        owners = self._levels.get(request.priority)
        if owners is None:
            self._levels[request.priority] = owners = OrderedDict()
            self._levels = dict(sorted(self._levels.items(), reverse=True))
        owners.setdefault(request.owner, deque()).append(sequence)
        self._size += 1

    def pop(self) -> Sequence | None:
        """The next sequence; its owner's turn is over."""
        for priority, owners in self._levels.items():
            owner, line = next(iter(owners.items()))
            sequence = line.popleft()
            self._size -= 1
            if line:
                owners.move_to_end(owner)
            else:
                del owners[owner]
                if not owners:
                    del self._levels[priority]
            return sequence
        return None

    def push_back(self, sequence: Sequence) -> None:
        """Undo a `pop`: the sequence is its owner's next, and its owner is next."""
        self.push(sequence)
        owners = self._levels[sequence.group.request.priority]
        line = owners[sequence.group.request.owner]
        line.rotate(1)
        owners.move_to_end(sequence.group.request.owner, last=False)

    def remove(self, sequence: Sequence) -> bool:
        request = sequence.group.request
        owners = self._levels.get(request.priority)
        line = owners.get(request.owner) if owners else None
        if not owners or line is None or sequence not in line:
            return False
        line.remove(sequence)
        self._size -= 1
        if not line:
            del owners[request.owner]
            if not owners:
                del self._levels[request.priority]
        return True


class RequestQueues:
    """`running` sequences have a place in the engine. `resumed` ones lost it to others (or found none
    free) and are served before the queue."""

    __slots__ = ("kv_cache", "num_preempted", "queue", "resumed", "running")

    def __init__(self, kv: KeyValues) -> None:
        self.kv_cache = KVCacheManager(kv)
        self.queue = FairQueue()
        self.resumed: list[Sequence] = []
        self.running: dict[Sequence, None] = {}
        self.num_preempted = 0

    def reserve_decodes(self) -> None:
        """Make room for one more token of everyone who runs, fewer of them if need be."""
        while not self.kv_cache.has_room(len(self.running)) and self.preempt_one():
            pass

    def admit(self, batch: Batch, most_tokens: int) -> None:
        """Begin waiting sequences while there is room for them and for their tokens in the step."""
        while self.resumed and batch.num_prompt_tokens < most_tokens:
            if not self.begin(self.resumed[0]):
                return
            batch.add_prompt(self.resumed.pop(0), most_tokens)
        deferred: list[Sequence] = []
        while batch.num_prompt_tokens < most_tokens and (sequence := self.queue.pop()):
            if self.kv_cache.should_wait(sequence):
                deferred.append(sequence)
            elif self.begin(sequence):
                batch.add_prompt(sequence, most_tokens)
            else:
                deferred.append(sequence)
                break
        for sequence in reversed(deferred):
            self.queue.push_back(sequence)

    def begin(self, sequence: Sequence) -> bool:
        """Give a sequence its place, sharing what can be shared; False while there is no room."""
        committed = sum(len(other.tokens) - other.entry.computed for other in self.running if other.entry)
        if not self.kv_cache.begin(sequence, committed, len(self.running)):
            return False
        group = sequence.group
        if not group.is_prompt_done and sequence.entry:
            group.cached_tokens = sequence.entry.computed
        self.running[sequence] = None
        return True

    def start_alone(self, sequence: Sequence) -> None:
        """Give an aside sequence its place, whoever must leave for it."""
        while not self.begin(sequence):
            if not self.preempt_one(keep=0):
                raise AssertionError("an admitted request fits alone")
        self.resumed.remove(sequence)

    def fork(self, sequence: Sequence) -> None:
        """A candidate joins its first one after the prompt; without a free sequence id it waits."""
        if self.kv_cache.fork(sequence.group.candidates[0], sequence):
            self.running[sequence] = None
        else:
            self.resumed.append(sequence)

    def preempt_one(self, keep: int = 1) -> bool:
        """Put the youngest of the least urgent aside; what it had is computed again later."""
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
        self.kv_cache.forget(sequence)
        self.resumed.append(sequence)
        self.resumed.sort(key=lambda other: (-other.group.request.priority, other.group.order, other.choice))

    def leave(self, sequence: Sequence) -> None:
        """The sequence ended, wherever it is; what it computed may still serve others."""
        if sequence in self.running:
            del self.running[sequence]
            self.kv_cache.release(sequence)
        elif sequence in self.resumed:
            self.resumed.remove(sequence)

    def remove(self, group: SequenceGroup) -> None:
        """The request is over before its end."""
        for sequence in group.candidates:
            self.leave(sequence)
        if not group.is_prompt_done:
            self.queue.remove(group.candidates[0])

"""Who is served next: higher priority first, then owners in turn, then arrival. Knows no engine."""

from collections import OrderedDict, deque
from collections.abc import Iterator

from myna.scheduling.sequence import Sequence


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
        request = sequence.job.request
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
        owners = self._levels[sequence.job.request.priority]
        line = owners[sequence.job.request.owner]
        line.rotate(1)
        owners.move_to_end(sequence.job.request.owner, last=False)

    def remove(self, sequence: Sequence) -> bool:
        request = sequence.job.request
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

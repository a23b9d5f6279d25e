"""Weighted fair queueing: which owner's waiting sequence or job is served next. Pure."""

import math
from bisect import insort
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

from myna.core.requests import BACKGROUND

_WEIGHT_PER_PRIORITY: Final = 4.0


class Queued(Protocol):
    """What can wait: a sequence of a generation, or an embedding job. Of one owner, the one with the highest
    `priority` is served first; of these the one that arrived first (`order`, then `choice`)."""

    @property
    def owner(self) -> str: ...

    @property
    def priority(self) -> int: ...

    @property
    def order(self) -> int: ...

    @property
    def choice(self) -> int: ...


Q = TypeVar("Q", bound=Queued)


class Share(Generic[Q]):
    """What one owner uses, and its waiting sequences in order.

    `served` is the cost of what was computed for it: its tokens, which count a quarter for each priority
    above 0, and four times for each below. What is of the priority `BACKGROUND` has an owner of its own,
    whose share `is_background`.
    """

    __slots__ = ("_cost_per_step", "is_background", "num_running", "owner", "served", "waiting")

    def __init__(self, owner: str, served: float, *, is_background: bool) -> None:
        self.owner = owner
        self.is_background = is_background
        self.served = served
        self.num_running = 0
        self.waiting: list[Q] = []
        self._cost_per_step = 0.0

    def charge(self, sequence: Q, num_tokens: int) -> None:
        self.served += num_tokens * cost(sequence)

    def charge_decodes(self) -> None:
        """Charge one token of each running sequence."""
        self.served += self._cost_per_step

    def run(self, sequence: Q, change: int = 1) -> None:
        """The sequence starts to run, or no longer runs (-1)."""
        self.num_running += change
        self._cost_per_step += change * cost(sequence)  # exact: costs are powers of two


class FairQueue(Generic[Q]):
    """Waiting sequences, those that were preempted included, by owner.

    The owner that was served least is next (a virtual token counter). A new one starts at the level of the
    least served: it has no credit for the time before, and no debt. So whatever others send, it gets its turn
    after at most one turn of each of them. One that comes back while others are still here is where it was,
    or at the level of the least served: many short requests with pauses between them don't pass those that
    wait (start-time fair queueing, Goyal et al. 1997). One owner's sequences are served by priority, then by
    age.
    """

    __slots__ = ("_left", "_shares", "_size", "num_background")

    def __init__(self) -> None:
        self._shares: dict[str, Share[Q]] = {}
        self._left: dict[str, Share[Q]] = {}
        self._size = 0
        self.num_background = 0
        """The number of background owners with running or waiting sequences."""

    def __len__(self) -> int:
        return self._size

    @property
    def num_shares(self) -> int:
        """The number of owners with running or waiting sequences."""
        return len(self._shares)

    def shares(self) -> Iterator[Share[Q]]:
        """The shares of owners with running or waiting sequences."""
        yield from self._shares.values()

    def share_of(self, sequence: Q) -> Share[Q]:
        """The share of a sequence that is running or waiting, or about to."""
        share = self._shares.get(sequence.owner)
        if share is None:
            is_background = sequence.priority <= BACKGROUND
            level = self._level(is_background=is_background)
            left = self._left.pop(sequence.owner, None)
            served = max(level, left.served) if left else level
            share = Share(sequence.owner, served, is_background=is_background)
            self._shares[sequence.owner] = share
            self.num_background += is_background
        return share

    def in_turn(self) -> list[Share[Q]]:
        """The shares with waiting sequences, the next one first; those in the background only if there are no
        others, waiting or running."""
        is_alone = self.num_background == len(self._shares)
        waiting = [
            share
            for share in self._shares.values()
            if share.waiting and (is_alone or not share.is_background)
        ]
        return sorted(waiting, key=lambda share: (share.served, rank(share.waiting[0])))

    def push(self, sequence: Q) -> None:
        """A preempted sequence is ahead of those that arrived later."""
        insort(self.share_of(sequence).waiting, sequence, key=rank)
        self._size += 1

    def pop(self, sequence: Q) -> None:
        """The sequence, which must be waiting, starts to run."""
        share = self.share_of(sequence)
        share.waiting.remove(sequence)
        share.run(sequence)
        self._size -= 1

    def fork(self, sequence: Q) -> None:
        """The sequence runs without having waited."""
        self.share_of(sequence).run(sequence)

    def stop(self, sequence: Q) -> None:
        """The sequence, which must be running, no longer does."""
        share = self.share_of(sequence)
        share.run(sequence, -1)
        self._forget_if_idle(share)

    def remove(self, sequence: Q) -> bool:
        """Whether the sequence was waiting."""
        share = self._shares.get(sequence.owner)
        if share is None or sequence not in share.waiting:
            return False
        share.waiting.remove(sequence)
        self._size -= 1
        self._forget_if_idle(share)
        return True

    def charge_decodes(self) -> None:
        """Charge one token of each running sequence."""
        for share in self._shares.values():
            share.charge_decodes()

    def _forget_if_idle(self, share: Share[Q]) -> None:
        if share.num_running or share.waiting:
            return
        del self._shares[share.owner]
        self.num_background -= share.is_background
        self._left[share.owner] = share
        if len(self._left) > len(self._shares):  # keep those that are ahead of somebody who is still here
            levels = {kind: self._level(is_background=kind, default=math.inf) for kind in (False, True)}
            self._left = {
                owner: left for owner, left in self._left.items() if left.served > levels[left.is_background]
            }

    def _level(self, *, is_background: bool, default: float = 0.0) -> float:
        """What the least served owner of the class has been served."""
        levels = (other.served for other in self._shares.values() if other.is_background is is_background)
        return min(levels, default=default)


def cost(sequence: Queued) -> float:
    """What a token of this sequence's priority costs its owner."""
    return float(_WEIGHT_PER_PRIORITY**-sequence.priority)


def rank(sequence: Queued) -> tuple[int, int, int]:
    """Sorts sequences by priority and age: the first is served first, the last is preempted first."""
    return -sequence.priority, sequence.order, sequence.choice

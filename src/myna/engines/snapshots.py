"""Earlier states of a recurrent model's sequences, each kept under a sequence id of its own. Independent of
any engine."""

from collections.abc import Iterable


class Snapshots:
    """Which ids keep the state after which positions. A snapshot belongs to every sequence that shares the
    prefix; when there are more than ids, the least recently used one goes."""

    def __init__(self, ids: Iterable[int]) -> None:
        self._free = list(ids)
        self._of: dict[int, dict[int, int]] = {}  # by sequence and position
        self._holders: dict[int, set[int]] = {}  # of ids, least recently used first

    def reusable(self, sequence: int, num_tokens: int) -> int:
        """The last kept position within the first `num_tokens`; 0 if there is none."""
        return max((position for position in self._of.get(sequence, ()) if position <= num_tokens), default=0)

    def at(self, sequence: int, position: int) -> int:
        """The id that keeps it."""
        kept = self._of[sequence][position]
        self._holders[kept] = self._holders.pop(kept)
        return kept

    def add(self, sequence: int, position: int) -> int:
        """The id to keep the state under, which may have been another's."""
        if self._free:
            kept = self._free.pop()
        else:
            kept = next(iter(self._holders))
            for holder in self._holders.pop(kept):
                of_holder = self._of[holder]
                del of_holder[next(place for place, other in of_holder.items() if other == kept)]
        self._of.setdefault(sequence, {})[position] = kept
        self._holders[kept] = {sequence}
        return kept

    def share(self, source: int, target: int, num_tokens: int) -> None:
        """Those within the first `num_tokens` belong to `target`, too."""
        shared = {at: kept for at, kept in self._of.get(source, {}).items() if at <= num_tokens}
        self._of[target] = shared
        for kept in shared.values():
            self._holders[kept].add(target)

    def trim(self, sequence: int, num_tokens: int) -> list[int]:
        """Forget those beyond the first `num_tokens`; returns the ids that nobody needs any more."""
        unused: list[int] = []
        kept = self._of.get(sequence, {})
        for position in [position for position in kept if position > num_tokens]:
            number = kept.pop(position)
            self._holders[number].remove(sequence)
            if not self._holders[number]:
                del self._holders[number]
                unused.append(number)
        if not kept:
            self._of.pop(sequence, None)
        self._free += unused
        return unused

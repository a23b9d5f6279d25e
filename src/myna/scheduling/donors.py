"""Finished sequences that stay in the engine for reuse: their order of last use and their size."""

from myna.scheduling.sequence import Resident


class Donors:
    """Least recently used first. Tokens that two of them share count twice, on the safe side."""

    __slots__ = ("_by_use", "num_tokens")

    def __init__(self) -> None:
        self._by_use: dict[Resident, None] = {}
        self.num_tokens = 0

    def __contains__(self, resident: object) -> bool:
        return resident in self._by_use

    def add(self, resident: Resident) -> None:
        self._by_use[resident] = None
        self.num_tokens += resident.computed

    def remove(self, resident: Resident) -> None:
        del self._by_use[resident]
        self.num_tokens -= resident.computed

    def touch(self, resident: Resident) -> None:
        """It was just used, if it is one."""
        if resident in self._by_use:
            del self._by_use[resident]
            self._by_use[resident] = None

    def oldest(self, but: Resident | None) -> Resident | None:
        return next((donor for donor in self._by_use if donor is not but), None)

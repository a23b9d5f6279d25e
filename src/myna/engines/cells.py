"""Counts the cells of a KV cache that sequences share token by token. No engine in it."""

from array import array

import numpy as np


class CellLedger:
    """Which cells each sequence holds. A cell is free when no sequence holds it."""

    def __init__(self, num_cells: int) -> None:
        self._free = array("i", range(num_cells - 1, -1, -1))
        self._holders = np.zeros(num_cells, np.int32)
        self._cells: dict[int, array[int]] = {}

    @property
    def num_free(self) -> int:
        return len(self._free)

    def length(self, sequence: int) -> int:
        """Tokens held; 0 for one that doesn't exist."""
        cells = self._cells.get(sequence)
        return 0 if cells is None else len(cells)

    def extend(self, sequence: int, num_tokens: int) -> None:
        """Take `num_tokens` free cells; the caller has seen that there are so many."""
        cells = self._cells.setdefault(sequence, array("i"))
        taken = self._free[-num_tokens:]
        del self._free[-num_tokens:]
        cells.extend(taken)
        self._holders[np.frombuffer(taken, np.int32)] = 1

    def fork(self, source: int, target: int, num_tokens: int) -> None:
        if target in self._cells:
            raise ValueError(f"sequence {target} exists already")
        cells = self._cells.get(source)
        if cells is None or not 0 < num_tokens <= len(cells):
            raise ValueError(f"sequence {source} does not hold {num_tokens} tokens")
        shared = cells[:num_tokens]
        self._holders[np.frombuffer(shared, np.int32)] += 1
        self._cells[target] = shared

    def trim(self, sequence: int, num_tokens: int) -> None:
        cells = self._cells[sequence]
        if num_tokens < len(cells):
            dropped = cells[num_tokens:]
            self._cells[sequence] = cells[:num_tokens]
            self._drop(dropped)

    def free(self, sequence: int) -> bool:
        """Whether there was such a sequence."""
        cells = self._cells.pop(sequence, None)
        if cells:
            self._drop(cells)
        return cells is not None

    def _drop(self, cells: "array[int]") -> None:
        index = np.frombuffer(cells, np.int32)
        self._holders[index] -= 1
        self._free.frombytes(index[self._holders[index] == 0].tobytes())

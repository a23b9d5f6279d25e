"""Accounts for the cells of a KV cache that sequences share token by token. Independent of any engine."""

from array import array

import numpy as np


class CellAllocator:
    """Reference-counted cells: which ones each sequence uses. A cell is free when no sequence uses it."""

    def __init__(self, num_cells: int) -> None:
        self._free = array("i", range(num_cells - 1, -1, -1))
        self._ref_counts = np.zeros(num_cells, np.int32)
        self._cells: dict[int, array[int]] = {}

    @property
    def num_free(self) -> int:
        return len(self._free)

    def length(self, sequence: int) -> int:
        """The sequence's number of tokens; 0 if it doesn't exist."""
        cells = self._cells.get(sequence)
        return 0 if cells is None else len(cells)

    def extend(self, sequence: int, num_tokens: int) -> None:
        """Allocate `num_tokens` cells; the caller must have checked that enough are free."""
        cells = self._cells.setdefault(sequence, array("i"))
        taken = self._free[-num_tokens:]
        del self._free[-num_tokens:]
        cells.extend(taken)
        self._ref_counts[np.frombuffer(taken, np.int32)] = 1

    def fork(self, source: int, target: int, num_tokens: int) -> None:
        if target in self._cells:
            raise ValueError(f"sequence {target} already exists")
        cells = self._cells.get(source)
        if cells is None or not 0 < num_tokens <= len(cells):
            raise ValueError(f"sequence {source} does not hold {num_tokens} tokens")
        shared = cells[:num_tokens]
        self._ref_counts[np.frombuffer(shared, np.int32)] += 1
        self._cells[target] = shared

    def trim(self, sequence: int, num_tokens: int) -> None:
        cells = self._cells[sequence]
        if num_tokens < len(cells):
            dropped = cells[num_tokens:]
            self._cells[sequence] = cells[:num_tokens]
            self._drop(dropped)

    def free(self, sequence: int) -> bool:
        """Delete the sequence; returns whether it existed."""
        cells = self._cells.pop(sequence, None)
        if cells:
            self._drop(cells)
        return cells is not None

    def _drop(self, cells: "array[int]") -> None:
        index = np.frombuffer(cells, np.int32)
        self._ref_counts[index] -= 1
        self._free.frombytes(index[self._ref_counts[index] == 0].tobytes())

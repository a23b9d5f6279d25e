"""llama.cpp's batches: tokens of many sequences over our own arrays."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from myna.engines.base import BatchRow
from myna.engines.llamacpp_library import llama_cpp


class ForeignArray:
    """Lets numpy read llama.cpp's floats in place."""

    def __init__(self, address: int, shape: tuple[int, ...]) -> None:
        self.__array_interface__ = {"version": 3, "typestr": "<f4", "shape": shape, "data": (address, True)}


class Batch:
    """llama.cpp's batch struct over our own numpy arrays, refilled at each step."""

    def __init__(self, capacity: int) -> None:
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._counts = np.ones(capacity, np.int32)
        self._sequences = np.zeros(capacity, np.int32)
        start = self._sequences.ctypes.data
        self._pointers = (start + 4 * np.arange(capacity)).astype(np.uintp)
        self._wanted = np.zeros(capacity, np.int8)
        self.struct = llama_cpp.llama_batch()
        self.struct.token = _pointer(self._tokens, llama_cpp.llama_token)
        self.struct.pos = _pointer(self._positions, llama_cpp.llama_pos)
        self.struct.n_seq_id = _pointer(self._counts, ctypes.c_int32)
        self.struct.seq_id = _pointer(self._pointers, ctypes.POINTER(llama_cpp.llama_seq_id))
        self.struct.logits = _pointer(self._wanted, ctypes.c_int8)

    def fill(self, rows: Sequence[BatchRow]) -> int:
        """Write the rows into the arrays; returns how many rows of logits they request."""
        index = outputs = 0
        for row in rows:
            size = len(row.tokens)
            end = index + size
            self._tokens[index:end] = row.tokens
            self._positions[index:end] = (
                range(row.start, row.start + size) if size < 9 else np.arange(row.start, row.start + size)
            )
            self._sequences[index:end] = row.sequence
            self._wanted[index:end] = 0
            self._wanted[index + row.logits_from : end] = 1
            outputs += size - row.logits_from
            index = end
        self.struct.n_tokens = index
        return outputs


def _pointer(array: npt.NDArray[Any], kind: Any) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))


def split(batch: Sequence[BatchRow], limit: int, grid: int = 0) -> Sequence[Sequence[BatchRow]]:
    """The same tokens in parts of at most `limit`. With a `grid`, no row of a part goes beyond a multiple of
    it."""
    if sum(len(row.tokens) for row in batch) <= limit and not (
        grid and any(_crosses(row, grid) for row in batch)
    ):
        return [batch]
    parts: list[list[BatchRow]] = [[]]
    room = limit
    for row in batch:
        index = 0
        while index < len(row.tokens):
            if room == 0 or (index and parts[-1]):
                parts.append([])
                room = limit
            size = min(room, grid - (row.start + index) % grid) if grid else room
            tokens = row.tokens[index : index + size]
            wanted_from = min(max(row.logits_from - index, 0), len(tokens))
            parts[-1].append(BatchRow(row.sequence, tokens, row.start + index, wanted_from))
            index += len(tokens)
            room -= len(tokens)
    return parts


def _crosses(row: BatchRow, grid: int) -> bool:
    return row.start % grid + len(row.tokens) > grid

"""A file of saved chunks of KV cache, which survives the process: fixed slots, and a table that says what is
in them.

The file has its full size from the start and is used through a mapping, so a confined process needs nothing
but the open descriptor, and a full disk can't stop it. Whatever was written when the machine or the process
ended is recognised by its checksum. One process at a time may use it.
"""

import hashlib
import mmap
import os
import struct
import zlib
from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

CHUNK_TOKENS: Final = 128
_MAGIC: Final = b"myna-kv2"
_PAGE: Final = 4096
_ENTRY: Final = struct.Struct("<32sQQ")  # key, number of the last use, checksum
_EMPTY: Final = bytes(_ENTRY.size)
_MAX_USES: Final = 1 << 62  # no file reaches it: an entry with a larger number is damaged

Bytes = npt.NDArray[np.uint8]


def chunk_keys(tokens: Sequence[int], salt: str) -> Iterator[bytes]:
    """A key for each whole chunk, which covers everything before it; equal only for equal salts."""
    key = hashlib.sha256(salt.encode()).digest()
    for start in range(0, len(tokens) - CHUNK_TOKENS + 1, CHUNK_TOKENS):
        key = hashlib.sha256(key + array("I", tokens[start : start + CHUNK_TOKENS]).tobytes()).digest()
        yield key


class PrefixFile:
    """Chunks by their keys, the least recently used ones first. `identity` covers everything that the numbers
    depend on: what was saved under another one is dropped."""

    def __init__(self, descriptor: int, identity: str, chunk_bytes: int) -> None:
        """Raises `ValueError` if the file is too small for a chunk, and `OSError`."""
        size = os.fstat(descriptor).st_size
        self._chunk_bytes = chunk_bytes
        stride = -(-chunk_bytes // _PAGE) * _PAGE
        self.num_slots: Final = max(0, size - 2 * _PAGE) // (stride + _ENTRY.size)
        if not self.num_slots:
            raise ValueError("the file is too small for a chunk")
        self._stride = stride
        self._first = _PAGE + -(-self.num_slots * _ENTRY.size // _PAGE) * _PAGE
        self._map = mmap.mmap(descriptor, size)
        self._slots: dict[bytes, int] = {}
        self._num_uses = 0
        head = _MAGIC + hashlib.sha256(f"{identity}\0{chunk_bytes}\0{size}".encode()).digest()
        if self._map[: len(head)] == head:
            self._read_table()
        else:
            self._map[_PAGE : self._first] = bytes(self._first - _PAGE)
            self._map[: len(head)] = head
        self._free = sorted(set(range(self.num_slots)).difference(self._slots.values()), reverse=True)

    def __contains__(self, key: bytes) -> bool:
        return key in self._slots

    def find(self, keys: Sequence[bytes]) -> int:
        """How many of a prefix's chunks are there, from the first one on."""
        return next((index for index, key in enumerate(keys) if key not in self._slots), len(keys))

    def chunk(self, key: bytes) -> Bytes:
        """The numbers, read in place; `key` must be there."""
        return self._view(self._slots[key])

    def is_intact(self, key: bytes) -> bool:
        """Whether the chunk is what was saved under that key. Reads all of it, in any thread."""
        slot = self._slots.get(key)
        if slot is None:
            return False
        found, _, checksum = _ENTRY.unpack_from(self._map, self._entry(slot))
        return bool(found == key) and checksum == zlib.crc32(self._view(slot).data)

    def touch(self, keys: Sequence[bytes]) -> None:
        """They are used. The first chunks count as used last: without them the others are useless."""
        for key in reversed(keys):
            slot = self._slots.pop(key)
            self._slots[key] = slot
            self._write(slot, key, _ENTRY.unpack_from(self._map, self._entry(slot))[2])

    def claim(self, pinned: Collection[bytes]) -> int | None:
        """A slot to write to: a free one, or that of the least recently used chunk which isn't `pinned`."""
        if self._free:
            return self._free.pop()
        key = next((key for key in self._slots if key not in pinned), None)
        if key is None:
            return None
        self.drop(key)
        return self._free.pop()

    def target(self, slot: int) -> Bytes:
        """Where the numbers of a claimed slot are to be written."""
        return self._view(slot)

    def commit(self, slot: int, key: bytes) -> None:
        """The claimed slot has been written."""
        self._write(slot, key, zlib.crc32(self._view(slot).data))
        self._slots[key] = slot

    def drop(self, key: bytes) -> None:
        """Forget a chunk."""
        slot = self._slots.pop(key)
        offset = self._entry(slot)
        self._map[offset : offset + _ENTRY.size] = _EMPTY
        self._free.append(slot)

    def _entry(self, slot: int) -> int:
        return _PAGE + slot * _ENTRY.size

    def _view(self, slot: int) -> Bytes:
        return np.frombuffer(self._map, np.uint8, self._chunk_bytes, self._first + slot * self._stride)

    def _write(self, slot: int, key: bytes, checksum: int) -> None:
        self._num_uses += 1
        _ENTRY.pack_into(self._map, self._entry(slot), key, self._num_uses, checksum)

    def _read_table(self) -> None:
        found = list[tuple[int, bytes, int]]()
        for slot in range(self.num_slots):
            key, last_use, _ = _ENTRY.unpack_from(self._map, self._entry(slot))
            if any(key) and last_use <= _MAX_USES:
                found.append((last_use, key, slot))
        for last_use, key, slot in sorted(found):
            self._slots[key] = slot
            self._num_uses = last_use

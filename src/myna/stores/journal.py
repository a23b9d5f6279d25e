"""The journal: the usage of requests in flight, in a memory-mapped file that survives a crash of its process.

One file per server, with reusable slots. A count is one aligned word with its own checksum, so that a crash
at any moment never leaves half of it. Knows nothing about what the rows are used for."""

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from myna.core.ledger import Outcome, UsageRow

_SUFFIX: Final = ".journal"
_MAGIC: Final = b"MYNAJNL1"
_PAGE: Final = mmap.ALLOCATIONGRANULARITY
_HEADER: Final = struct.Struct("<8s16sI")
_SLOT_BYTES: Final = 2048
_SLOTS_PER_SEGMENT: Final = 512
_SEGMENT_BYTES: Final = _SLOT_BYTES * _SLOTS_PER_SEGMENT
_MAX_SEGMENTS: Final = 64
_STATE, _PROMPT, _CACHED, _COMPLETION, _FIRST_TOKEN = range(5)  # the words of a slot
_NUM_WORDS: Final = 5
_OPENING, _CLOSING = 64, 1536  # the offsets of a slot's records, each preceded by its length and checksum
_RECORD: Final = struct.Struct("<II")
_LIVE: Final = 0x6C697665
_MAX_TEXT_CHARS: Final = 64


class JournalFull(Exception):
    """No slot is free and the file can't grow; the message says why."""


class _Closing(msgspec.Struct, frozen=True, array_like=True):
    """The fields that are only known when a request ends."""

    duration_ms: int
    first_token_ms: int | None
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    outcome: Outcome
    status: int
    error: str


_closing_decoder: Final = msgspec.msgpack.Decoder(_Closing)
_row_decoder: Final = msgspec.msgpack.Decoder(UsageRow)


class JournalSlot:
    """The journal entry of one request. For one thread at a time."""

    __slots__ = ("_base", "_bytes", "_completion", "_tag", "_words")

    def __init__(self, segment: mmap.mmap, words: memoryview, number: int) -> None:
        self._bytes = segment
        self._words = words
        self._base = number * _SLOT_BYTES // 8
        self._completion = self._base + _COMPLETION
        self._tag = 0

    def open(self, row: UsageRow) -> None:
        """Use the slot for a request whose counts are still 0."""
        payload = _fitting(row, _CLOSING - _OPENING - _RECORD.size)
        self._tag = zlib.crc32(payload)
        self._words[self._base + 1 : self._base + _NUM_WORDS] = _NO_COUNTS
        self._write(_CLOSING, b"")
        self._write(_OPENING, payload)
        self._words[self._base] = _word(_LIVE, self._tag)

    def count_prompt(self, prompt_tokens: int, cached_tokens: int) -> None:
        self._words[self._base + _PROMPT] = _word(prompt_tokens, self._tag)
        self._words[self._base + _CACHED] = _word(cached_tokens, self._tag)

    def count_completion(self, tokens: int) -> None:
        """Record the count before the tokens are sent."""
        self._words[self._completion] = tokens << 32 | tokens ^ self._tag

    def note_first_token(self, after_ms: int) -> None:
        self._words[self._base + _FIRST_TOKEN] = _word(after_ms + 1, self._tag)

    def close(self, row: UsageRow) -> None:
        """The request has ended; the slot stays in use until the row is stored in the database."""
        closing = _Closing(*(getattr(row, name) for name in _Closing.__struct_fields__))
        self._write(_CLOSING, msgspec.msgpack.encode(closing))

    def free(self) -> None:
        self._words[self._base] = 0

    def read(self) -> UsageRow | None:
        """The row of a request that has ended, or what is known of one that hasn't (`lost`); None if the slot
        is free. Raises ValueError for an invalid slot."""
        state = self._words[self._base]
        if state == 0:
            return None
        payload = self._read(_OPENING)
        self._tag = zlib.crc32(payload)
        if state != _word(_LIVE, self._tag):
            raise ValueError("a slot is neither free nor in use")
        row = _row_decoder.decode(payload)
        with contextlib.suppress(ValueError):
            closing = _closing_decoder.decode(self._read(_CLOSING))
            return msgspec.structs.replace(row, **msgspec.structs.asdict(closing))
        after_ms = self._count(_FIRST_TOKEN)
        return msgspec.structs.replace(
            row,
            prompt_tokens=self._count(_PROMPT),
            cached_tokens=self._count(_CACHED),
            completion_tokens=self._count(_COMPLETION),
            first_token_ms=after_ms - 1 if after_ms else None,
            outcome="lost",
        )

    def _count(self, name: int) -> int:
        word = self._words[self._base + name]
        return word >> 32 if word == _word(word >> 32, self._tag) else 0

    def _write(self, offset: int, payload: bytes) -> None:
        start = self._base * 8 + offset
        record = _RECORD.pack(len(payload), zlib.crc32(payload)) + payload
        self._bytes[start : start + len(record)] = record

    def _read(self, offset: int) -> bytes:
        start = self._base * 8 + offset
        size, checksum = _RECORD.unpack_from(self._bytes, start)
        room = (_CLOSING if offset == _OPENING else _SLOT_BYTES) - offset - _RECORD.size
        payload = self._bytes[start + _RECORD.size : start + _RECORD.size + min(size, room)]
        if not payload or len(payload) != size or zlib.crc32(payload) != checksum:
            raise ValueError("a record has a wrong checksum")
        return payload


def _word(count: int, tag: int) -> int:
    """The count, with a lower half that verifies that both halves come from one write for this request."""
    return count << 32 | count ^ tag


_NO_COUNTS: Final = memoryview(bytes(8 * (_NUM_WORDS - 1))).cast("Q")


def _fitting(row: UsageRow, room: int) -> bytes:
    payload = msgspec.msgpack.encode(row)
    if len(payload) <= room:
        return payload
    texts = {name: value for name, value in msgspec.structs.asdict(row).items() if isinstance(value, str)}
    return msgspec.msgpack.encode(
        msgspec.structs.replace(row, **{name: value[:_MAX_TEXT_CHARS] for name, value in texts.items()})
    )


class _File:
    """A journal's file, locked while it is open; the lock is released when the process dies."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path
        self.segments: list[tuple[mmap.mmap, memoryview]] = []

    def map_segment(self, num_bytes: int = _SEGMENT_BYTES) -> list[JournalSlot]:
        """The slots of the next segment, which must exist in the file."""
        offset = _PAGE + len(self.segments) * _SEGMENT_BYTES
        segment = mmap.mmap(self.descriptor, num_bytes, offset=offset)
        words = memoryview(segment).cast("Q")
        self.segments.append((segment, words))
        return [JournalSlot(segment, words, number) for number in range(num_bytes // _SLOT_BYTES)]

    def close(self) -> None:
        for segment, words in self.segments:
            words.release()
            with contextlib.suppress(BufferError):
                segment.close()
        self.segments.clear()
        os.close(self.descriptor)


class Journal:
    """A server's own journal, in `folder`. `database` identifies the rows' database: only servers on the same
    one recover them. Raises OSError if the file can't be created."""

    def __init__(self, folder: Path, database: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
        draft = path.with_suffix(".new")  # other servers must not find it before it is locked
        self._file = _File(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), path)
        self._free: list[JournalSlot] = []
        self.num_taken = 0
        try:
            fcntl.flock(self._file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_whole(self._file.descriptor, _header(database).ljust(_PAGE, b"\0"), 0)
            self._grow()
            draft.rename(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            self._file.close()
            raise

    def take(self, row: UsageRow) -> JournalSlot:
        """A slot for the request. Raises `JournalFull`."""
        if not self._free:
            try:
                self._grow()
            except OSError as exc:
                raise JournalFull(exc.strerror or str(exc)) from exc
        slot = self._free.pop()
        slot.open(row)
        self.num_taken += 1
        return slot

    def release(self, slots: Sequence[JournalSlot]) -> None:
        for slot in slots:
            slot.free()
        self._free += slots
        self.num_taken -= len(slots)

    def close(self) -> None:
        """Delete the file, or leave it to the next server if it contains rows that are not stored yet."""
        if self.num_taken == 0:
            self._file.path.unlink(missing_ok=True)
        self._free.clear()
        self._file.close()

    def _grow(self) -> None:
        """Add a segment and allocate its disk space: if the disk were full at the first write to a page, the
        process would die of SIGBUS."""
        number = len(self._file.segments)
        if number == _MAX_SEGMENTS:
            raise OSError(
                errno.ENOBUFS, f"{number * _SLOTS_PER_SEGMENT} requests are waiting for the database"
            )
        _write_whole(self._file.descriptor, bytes(_SEGMENT_BYTES), _PAGE + number * _SEGMENT_BYTES)
        self._free += reversed(self._file.map_segment())


class DeadJournal:
    """The journal of a server that crashed, locked against recovery by others."""

    def __init__(self, file: _File, rows: Sequence[UsageRow], num_damaged: int) -> None:
        self._file = file
        self.path = file.path
        self.rows = rows
        self.num_damaged = num_damaged

    def discard(self) -> None:
        """Its rows have been stored: delete the file, or rename it if parts are damaged."""
        if self.num_damaged:
            self.path.rename(self.path.with_suffix(".damaged"))
        else:
            self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def dead_journals(folder: Path, database: str) -> Iterator[Sequence[DeadJournal]]:
    """The journals in the folder whose servers have ended; those of other databases are ignored."""
    files = [file for path in sorted(folder.glob(f"*{_SUFFIX}")) if (file := _lock(path)) is not None]
    try:
        yield [dead for file in files if (dead := _read_dead(file, database)) is not None]
    finally:
        for file in files:
            file.close()


def _lock(path: Path) -> _File | None:
    """None if its server is alive, or another process is recovering it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return _File(descriptor, path)
    except OSError:
        pass
    os.close(descriptor)
    return None


def _read_dead(file: _File, database: str) -> DeadJournal | None:
    head = os.pread(file.descriptor, _HEADER.size, 0)
    expected = _header(database)
    if head != expected:
        is_ours = head[:8] == _MAGIC and zlib.crc32(head[:-4]) == int.from_bytes(head[-4:], "little")
        return None if is_ours else DeadJournal(file, [], 1)
    left = os.fstat(file.descriptor).st_size - _PAGE
    rows: list[UsageRow] = []
    num_damaged = 0
    while left >= _SLOT_BYTES:
        size = min(left, _SEGMENT_BYTES) // _SLOT_BYTES * _SLOT_BYTES
        left -= size
        for slot in file.map_segment(size):
            try:
                row = slot.read()
            except ValueError:  # msgspec's errors are subclasses
                num_damaged += 1
            else:
                rows += [row] if row is not None else []
    return DeadJournal(file, rows, num_damaged + (left > 0))


def _header(database: str) -> bytes:
    head = _HEADER.pack(_MAGIC, hashlib.sha256(database.encode()).digest()[:16], 0)[:-4]
    return head + zlib.crc32(head).to_bytes(4, "little")


def _write_whole(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        num_written = os.pwrite(descriptor, data, offset)
        data, offset = data[num_written:], offset + num_written

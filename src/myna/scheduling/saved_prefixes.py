"""Saves what sequences have computed to a file, and restores it when a prompt begins with it: after a
restart, or after the memory was needed for something else.

Both are done in pieces between steps, so that running streams don't notice. What is restored becomes an
entry of the prefix cache, which sequences share like any other.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple

from myna.core.requests import GenerationRequest
from myna.engines.base import BlockStorage, KVCacheFull
from myna.scheduling.kv_cache import BLOCK_TOKENS, KVCacheManager, block_hashes
from myna.scheduling.prefix_file import CHUNK_TOKENS, PrefixFile, chunk_keys
from myna.scheduling.sequence import CacheEntry

_CHUNK_BLOCKS: Final = CHUNK_TOKENS // BLOCK_TOKENS
_RESTORED_PER_TURN: Final = 2
_SAVE_EVERY: Final = 8  # turns in which something else is computed
_MAX_UNSAVED: Final = 256


def chunk_bytes(blocks: BlockStorage) -> int:
    return blocks.block_bytes * _CHUNK_BLOCKS


class SavedPrefix(NamedTuple):
    """The saved prefix of a request's prompt."""

    tokens: list[int]
    salt: str
    keys: list[bytes]


@dataclass(slots=True)
class _Restoring:
    """`then` is called when as much as possible is in the prefix cache."""

    saved: SavedPrefix
    then: Callable[[], None]
    entry: CacheEntry | None = None


class _Unsaved(NamedTuple):
    """What a finished sequence left in the prefix cache, with the keys of its chunks."""

    entry: CacheEntry
    keys: list[bytes]


class SavedPrefixes:
    """All methods are to be called in the scheduler's thread."""

    def __init__(self, file: PrefixFile, blocks: BlockStorage, kv_cache: KVCacheManager) -> None:
        self._file = file
        self._blocks = blocks
        self._kv_cache = kv_cache
        self._unsaved: deque[_Unsaved] = deque(maxlen=_MAX_UNSAVED)
        self._restoring: deque[_Restoring] = deque()
        self._pinned: dict[bytes, int] = {}
        self._num_turns = 0
        self._checking = ThreadPoolExecutor(1, thread_name_prefix="myna-prefixes")
        kv_cache.on_release = self._on_release

    @property
    def has_work(self) -> bool:
        return bool(self._restoring or self._unsaved)

    def find(self, request: GenerationRequest) -> SavedPrefix | None:
        """What is saved of a prompt, if it is more than what is computed. To be passed to `check`."""
        if request.num_prompt_logprobs is not None:
            return None
        tokens = list(request.prompt_tokens[:-1])  # at least one token remains to be computed
        keys = list(chunk_keys(tokens, request.cache_salt))
        keys = keys[: self._file.find(keys)]
        tokens = tokens[: len(keys) * CHUNK_TOKENS]
        if not keys or self._num_computed(tokens, request.cache_salt) > len(tokens) - CHUNK_TOKENS:
            return None
        self._pin(keys, 1)
        return SavedPrefix(tokens, request.cache_salt, keys)

    def check(self, saved: SavedPrefix, then: Callable[[int], None]) -> None:
        """Read the chunks in another thread, and call `then` there with how many of them are intact."""

        def read() -> None:
            intact = 0
            for key in saved.keys:
                if not self._file.is_intact(key):
                    break
                intact += 1
            then(intact)

        self._checking.submit(read)

    def restore(self, saved: SavedPrefix, num_intact: int, then: Callable[[], None]) -> None:
        """Restore the intact chunks in the next turns, then call `then`."""
        self._pin(saved.keys[num_intact:], -1)
        if num_intact < len(saved.keys):
            damaged = saved.keys[num_intact]
            # If it is pinned still, another request has found it intact.
            if damaged in self._file and damaged not in self._pinned:
                self._file.drop(damaged)
        self._file.touch(saved.keys[:num_intact])
        intact = SavedPrefix(saved.tokens[: num_intact * CHUNK_TOKENS], saved.salt, saved.keys[:num_intact])
        self._restoring.append(_Restoring(intact, then))

    def drop(self, saved: SavedPrefix) -> None:
        """The request has been aborted."""
        self._pin(saved.keys, -1)

    def work(self, *, num_running: int) -> None:
        """One turn: restore or save a little."""
        self._num_turns += 1
        if self._restoring:
            self._restore(self._restoring[0], num_running)
        elif self._unsaved and not (num_running and self._num_turns % _SAVE_EVERY):
            self._save()

    def close(self) -> None:
        self._checking.shutdown(wait=False, cancel_futures=True)

    def _on_release(self, entry: CacheEntry) -> None:
        self._unsaved.append(_Unsaved(entry, list(chunk_keys(entry.tokens, entry.salt))))

    def _num_computed(self, tokens: list[int], salt: str) -> int:
        hashes = block_hashes(tokens, salt)
        match = self._kv_cache.index.find(
            tokens, hashes, salt, lambda entry, common: min(common, entry.computed)
        )
        return match.ready if match else 0

    def _restore(self, restoring: _Restoring, num_running: int) -> None:
        saved = restoring.saved
        if restoring.entry is None:
            restoring.entry = self._kv_cache.open_entry(saved.tokens, saved.salt, CHUNK_TOKENS)
        entry = restoring.entry
        for _ in range(_RESTORED_PER_TURN):
            if entry is None or entry.computed >= len(saved.tokens):
                break
            if not self._append(entry, saved.keys[entry.computed // CHUNK_TOKENS], num_running):
                break
        else:
            return
        self._restoring.popleft()
        self._pin(saved.keys, -1)
        if entry is not None:
            self._kv_cache.keep(entry)
        restoring.then()

    def _append(self, entry: CacheEntry, key: bytes, num_running: int) -> bool:
        """False if there is no room for it."""
        if not self._kv_cache.has_room(CHUNK_TOKENS + (1 + num_running) * BLOCK_TOKENS):
            return False
        try:
            self._blocks.append_blocks(entry.slot, self._file.chunk(key))
        except KVCacheFull:
            return False
        entry.computed += CHUNK_TOKENS
        return True

    def _save(self) -> None:
        """Save the next chunk of the sequence that ended first."""
        entry, keys = self._unsaved[0]
        if entry in self._kv_cache.prefix_cache:
            num_saved = self._file.find(keys)
            if num_saved < len(keys):
                slot = self._file.claim({*self._pinned, *keys})
                if slot is not None:
                    first = num_saved * _CHUNK_BLOCKS
                    self._blocks.read_blocks(entry.slot, first, self._file.target(slot))
                    self._file.commit(slot, keys[num_saved])
                    return
            self._file.touch(keys[:num_saved])
        self._unsaved.popleft()

    def _pin(self, keys: list[bytes], change: int) -> None:
        for key in keys:
            count = self._pinned.get(key, 0) + change
            if count:
                self._pinned[key] = count
            else:
                del self._pinned[key]

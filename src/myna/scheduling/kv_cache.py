"""Manages the engine's KV cache: slots, prefixes shared between sequences, and finished prefixes kept for
reuse."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from myna.core.generator import ModelInfo
from myna.scheduling.sequence import CacheEntry, Sequence

BLOCK_TOKENS: Final = 16
_MAX_ENTRIES_TRIED: Final = 8
_MIN_SHARED_TO_WAIT: Final = 2 * BLOCK_TOKENS
Tokens = list[int] | tuple[int, ...]


def block_hashes(tokens: Tokens, salt: str, known: Tokens = ()) -> list[int]:
    """One hash per full block, each covering everything before it; hashes only match for equal salts.

    `known` are the leading hashes, if already computed. Python's hash is not cryptographic, so a lookup
    must also compare the tokens.
    """
    hashes = list(known)
    last = hashes[-1] if hashes else hash(salt)
    for start in range(len(hashes) * BLOCK_TOKENS, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        last = hash((last, *tokens[start : start + BLOCK_TOKENS]))
        hashes.append(last)
    return hashes


class Match(NamedTuple):
    """`ready` of the `common` tokens are computed; the entry's sequence is about to compute the rest."""

    entry: CacheEntry
    common: int
    ready: int


class PrefixIndex:
    """Cache entries by block hash. All blocks of an indexed prefix are indexed, so a lookup stops at a
    miss."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[int, list[CacheEntry]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: CacheEntry) -> None:
        for block in entry.blocks:
            self._entries.setdefault(block, []).append(entry)

    def drop(self, entry: CacheEntry) -> None:
        for block in entry.blocks:
            entries = self._entries[block]
            entries.remove(entry)
            if not entries:
                del self._entries[block]

    def find(
        self, tokens: list[int], blocks: list[int], salt: str, reusable: Callable[[CacheEntry, int], int]
    ) -> Match | None:
        """The entry that shares the most computed tokens, of which as many count as are `reusable`; among
        equals, the one that will share the most."""
        depth = 0
        for block in blocks:
            if block not in self._entries:
                break
            depth += 1
        if not depth:
            return None
        matches = [
            Match(entry, common, reusable(entry, min(common, entry.computed)))
            for entry in self._entries[blocks[depth - 1]][-_MAX_ENTRIES_TRIED:]
            if entry.salt == salt and (common := _common(entry.tokens, tokens, depth * BLOCK_TOKENS))
        ]
        return max(matches, key=lambda match: (match.ready, match.common), default=None)


def _common(ours: list[int], theirs: list[int], at_least: int) -> int:
    """Length of the common prefix; 0 if it is shorter than `at_least`, after a hash collision."""
    if ours[:at_least] != theirs[:at_least]:
        return 0
    end = min(len(ours), len(theirs))
    size = at_least
    while size < end and ours[size] == theirs[size]:
        size += 1
    return size


class PrefixCache:
    """Entries of finished sequences, least recently used first. Tokens shared by two entries count twice, to
    be on the safe side."""

    __slots__ = ("_lru", "num_tokens")

    def __init__(self) -> None:
        self._lru: dict[CacheEntry, None] = {}
        self.num_tokens = 0

    def __contains__(self, entry: object) -> bool:
        return entry in self._lru

    def add(self, entry: CacheEntry) -> None:
        self._lru[entry] = None
        self.num_tokens += entry.computed

    def remove(self, entry: CacheEntry) -> None:
        del self._lru[entry]
        self.num_tokens -= entry.computed

    def touch(self, entry: CacheEntry) -> None:
        """Mark the entry as most recently used, if it is cached."""
        if entry in self._lru:
            del self._lru[entry]
            self._lru[entry] = None

    def oldest(self, exclude: CacheEntry | None) -> CacheEntry | None:
        return next((entry for entry in self._lru if entry is not exclude), None)


def _ignore(entry: CacheEntry) -> None:
    """Nothing is done with it."""


class KVStorage(Protocol):
    """The part of `engines.base.Engine` that manages KV memory."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def can_trim(self) -> bool: ...
    @property
    def prefix_grid(self) -> int: ...
    @property
    def prefix_cache_tokens(self) -> int: ...
    @property
    def free_tokens(self) -> int: ...
    def reusable(self, sequence: int, num_tokens: int) -> int: ...
    def fork(self, source: int, target: int, num_tokens: int) -> None: ...
    def trim(self, sequence: int, num_tokens: int) -> None: ...
    def free(self, sequence: int) -> None: ...


def _reusable(kv: KVStorage, entry: CacheEntry, num_tokens: int) -> int:
    return kv.reusable(entry.slot, min(num_tokens, entry.computed))


class KVCacheManager:
    """Allocates engine slots to sequences. The prefix cache keeps finished sequences, up to the engine's
    `prefix_cache_tokens`; they are evicted, least recently used first, whenever slots or KV memory run
    out."""

    __slots__ = ("_kv", "free_slots", "index", "on_release", "prefix_cache")

    def __init__(self, kv: KVStorage) -> None:
        self._kv = kv
        self.index = PrefixIndex()
        self.free_slots = list(range(kv.info.max_sequences - 1, -1, -1))
        self.prefix_cache = PrefixCache()
        self.on_release: Callable[[CacheEntry], None] = _ignore
        """Called with what a finished sequence leaves in the prefix cache."""

    def rollback(self, sequence: Sequence, num_rejected: int) -> None:
        """Drop the KV of the last tokens, which were rejected drafts, and of more if the engine can't end
        there: those are computed again."""
        entry = sequence.entry
        assert entry is not None
        if num_rejected:
            entry.computed = _reusable(self._kv, entry, entry.computed - num_rejected)
            self._kv.trim(entry.slot, entry.computed)

    def has_room(self, num_tokens: int) -> bool:
        """Whether that many more tokens fit, evicting cached prefixes if needed."""
        while self._kv.free_tokens < num_tokens:
            if not self.evict_one():
                return False
        return True

    def find(self, sequence: Sequence) -> Match | None:
        """What can be shared. At least one token must remain to be computed, or all of them if prompt
        log-probabilities are requested."""
        request = sequence.group.request
        if request.num_prompt_logprobs is not None and not sequence.group.is_prompt_done:
            sequence.blocks = []
        if sequence.blocks is None:
            sequence.blocks = block_hashes(request.prompt_tokens, request.cache_salt)
        limit = len(sequence.tokens) - 1
        match = self.index.find(
            sequence.tokens,
            sequence.blocks,
            request.cache_salt,
            lambda entry, common: _reusable(self._kv, entry, min(common, limit)),
        )
        return match and Match(match.entry, min(match.common, limit), match.ready)

    def should_wait(self, sequence: Sequence) -> bool:
        """Whether another sequence is about to compute a prefix that this one can then share."""
        match = self.find(sequence)
        if match is None or match.entry in self.prefix_cache:
            return False
        to_come = match.common // self._kv.prefix_grid * self._kv.prefix_grid
        return match.entry.computed < to_come and to_come - match.ready >= _MIN_SHARED_TO_WAIT

    def allocate(self, sequence: Sequence, committed_tokens: int, num_running: int) -> bool:
        """Allocate a slot, sharing the longest computed prefix; False while there is no room.
        `committed_tokens` are reserved for the `num_running` others, which also grow; a sequence alone always
        fits."""
        match = self.find(sequence)
        if match is not None and match.ready == 0:
            match = None
        source = match.entry if match else None
        reused = match.ready if match else 0
        needed = len(sequence.tokens) - reused + BLOCK_TOKENS
        if num_running:
            needed += committed_tokens + num_running * BLOCK_TOKENS
        takes_over = source in self.prefix_cache and source is not None and reused == source.computed
        while not (takes_over or self.free_slots) or self._kv.free_tokens < needed:
            if self.evict_one(exclude=source):
                continue
            if num_running or not (takes_over or self.free_slots):
                return False
            break
        if source is None:
            slot = self.free_slots.pop()
        elif takes_over:
            self.prefix_cache.remove(source)
            self.index.drop(source)
            slot = source.slot
        else:
            slot = self.free_slots.pop()
            self._kv.fork(source.slot, slot, reused)
            self.prefix_cache.touch(source)
        self._assign(sequence, slot, reused)
        return True

    def fork(self, source: Sequence, target: Sequence) -> bool:
        """Let `target` share the whole prompt of `source`; False if no slot is free."""
        assert source.entry is not None
        if not self.free_slots and not self.evict_one():
            return False
        slot = self.free_slots.pop()
        self._kv.fork(source.entry.slot, slot, source.num_prompt)
        target.blocks = source.blocks
        self._assign(target, slot, source.num_prompt)
        return True

    def release(self, sequence: Sequence) -> None:
        """The sequence has finished: move what it computed to the prefix cache, as far as the budget
        allows."""
        entry = self._take(sequence)
        if self.keep(entry):
            self.on_release(entry)

    def open_entry(self, tokens: list[int], salt: str, multiple: int) -> CacheEntry | None:
        """An entry to which computed tokens are to be appended, then passed to `keep`. It shares those that
        are there already, a multiple of that many. None if no slot is free."""
        if not self.free_slots and not self.evict_one():
            return None
        slot = self.free_slots.pop()
        hashes = block_hashes(tokens, salt)
        match = self.index.find(
            tokens, hashes, salt, lambda entry, common: _reusable(self._kv, entry, common)
        )
        shared = match.ready // multiple * multiple if match else 0
        if match and shared:
            self._kv.fork(match.entry.slot, slot, shared)
            self.prefix_cache.touch(match.entry)
        return CacheEntry(slot, tokens, shared, salt, [])

    def keep(self, entry: CacheEntry) -> bool:
        """Move an entry without a sequence to the prefix cache, as far as the budget allows; False if nothing
        of it is kept."""
        # An answer may have ended within its draft tokens: what was computed beyond its end is useless.
        keep = _reusable(self._kv, entry, min(len(entry.tokens), self._kv.prefix_cache_tokens))
        if keep < BLOCK_TOKENS:
            self._free(entry)
            return False
        if keep < entry.computed:
            self._kv.trim(entry.slot, keep)
        entry.computed = keep
        entry.tokens = entry.tokens[:keep]
        known = entry.blocks[: keep // BLOCK_TOKENS]
        entry.blocks = block_hashes(entry.tokens, entry.salt, known)
        self.index.put(entry)
        self.prefix_cache.add(entry)
        while self.prefix_cache.num_tokens > self._kv.prefix_cache_tokens:
            self.evict_one()
        return True

    def free(self, sequence: Sequence) -> None:
        """Free the sequence's slot without caching anything."""
        self._free(self._take(sequence))

    def evict_one(self, exclude: CacheEntry | None = None) -> bool:
        """Evict the least recently used cached prefix; False if there is none."""
        victim = self.prefix_cache.oldest(exclude)
        if victim is None:
            return False
        self.prefix_cache.remove(victim)
        self.index.drop(victim)
        self._free(victim)
        return True

    def _assign(self, sequence: Sequence, slot: int, computed: int) -> None:
        blocks = sequence.blocks or []
        sequence.entry = CacheEntry(
            slot, sequence.tokens, computed, sequence.group.request.cache_salt, blocks
        )
        self.index.put(sequence.entry)

    def _take(self, sequence: Sequence) -> CacheEntry:
        entry = sequence.entry
        assert entry is not None
        sequence.entry = None
        self.index.drop(entry)
        return entry

    def _free(self, entry: CacheEntry) -> None:
        self._kv.free(entry.slot)
        self.free_slots.append(entry.slot)

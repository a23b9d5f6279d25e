"""The KV cache of the engine: its slots, prefixes shared between sequences, finished ones kept for reuse."""

from typing import Final, NamedTuple, Protocol

from myna.core.generator import ModelInfo
from myna.scheduling.sequence import Sequence


class CacheEntry:
    """What the engine holds under one sequence id: the first `computed` of `tokens`.

    `tokens` is the owner's own growing list. `blocks` are the hashes under which the prefix index
    knows it; `salt` parts tenants.
    """

    __slots__ = ("blocks", "computed", "salt", "slot", "tokens")

    def __init__(self, slot: int, tokens: list[int], computed: int, salt: str, blocks: list[int]) -> None:
        self.slot = slot
        self.tokens = tokens
        self.computed = computed
        self.salt = salt
        self.blocks = blocks


BLOCK_TOKENS: Final = 16
_HOLDERS_TRIED: Final = 8
_WORTH_WAITING_TOKENS: Final = 2 * BLOCK_TOKENS
Tokens = list[int] | tuple[int, ...]


def block_hashes(tokens: Tokens, salt: str, known: Tokens = ()) -> list[int]:
    """One hash a whole block, each over everything before it; equal salts alone give equal hashes.

    `known` are the first ones, if computed before. Python's hash is no cryptographic one: whoever finds
    a block also compares its tokens.
    """
    hashes = list(known)
    last = hashes[-1] if hashes else hash(salt)
    for start in range(len(hashes) * BLOCK_TOKENS, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        last = hash((last, *tokens[start : start + BLOCK_TOKENS]))
        hashes.append(last)
    return hashes


class Match(NamedTuple):
    """`ready` of the `common` tokens are computed; the rest the resident is about to compute."""

    entry: CacheEntry
    common: int
    ready: int


class PrefixIndex:
    """Residents by their blocks. All blocks of a known prefix are known, so a lookup stops at a miss."""

    __slots__ = ("_holders",)

    def __init__(self) -> None:
        self._holders: dict[int, list[CacheEntry]] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def put(self, entry: CacheEntry) -> None:
        for block in entry.blocks:
            self._holders.setdefault(block, []).append(entry)

    def drop(self, entry: CacheEntry) -> None:
        for block in entry.blocks:
            holders = self._holders[block]
            holders.remove(entry)
            if not holders:
                del self._holders[block]

    def find(self, tokens: list[int], blocks: list[int], salt: str) -> Match | None:
        """The resident with the most computed tokens in common, or with the most to come."""
        depth = 0
        for block in blocks:
            if block not in self._holders:
                break
            depth += 1
        if not depth:
            return None
        matches = [
            Match(entry, common, min(common, entry.computed))
            for entry in self._holders[blocks[depth - 1]][-_HOLDERS_TRIED:]
            if entry.salt == salt and (common := _common(entry.tokens, tokens, depth * BLOCK_TOKENS))
        ]
        return max(matches, key=lambda match: (match.ready, match.common), default=None)


def _common(ours: list[int], theirs: list[int], at_least: int) -> int:
    """Length of the common beginning; 0 if the hashes lied about `at_least` tokens of it."""
    if ours[:at_least] != theirs[:at_least]:
        return 0
    end = min(len(ours), len(theirs))
    size = at_least
    while size < end and ours[size] == theirs[size]:
        size += 1
    return size


class PrefixCache:
    """Least recently used first. Tokens that two of them share count twice, on the safe side."""

    __slots__ = ("_by_use", "num_tokens")

    def __init__(self) -> None:
        self._by_use: dict[CacheEntry, None] = {}
        self.num_tokens = 0

    def __contains__(self, entry: object) -> bool:
        return entry in self._by_use

    def add(self, entry: CacheEntry) -> None:
        self._by_use[entry] = None
        self.num_tokens += entry.computed

    def remove(self, entry: CacheEntry) -> None:
        del self._by_use[entry]
        self.num_tokens -= entry.computed

    def touch(self, entry: CacheEntry) -> None:
        """It was just used, if it is one."""
        if entry in self._by_use:
            del self._by_use[entry]
            self._by_use[entry] = None

    def oldest(self, but: CacheEntry | None) -> CacheEntry | None:
        return next((donor for donor in self._by_use if donor is not but), None)


class KeyValues(Protocol):
    """The part of `engines.base.Engine` that moves KV about."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def can_trim(self) -> bool: ...
    @property
    def prefix_cache_tokens(self) -> int: ...
    @property
    def free_tokens(self) -> int: ...
    def fork(self, source: int, target: int, num_tokens: int) -> None: ...
    def trim(self, sequence: int, num_tokens: int) -> None: ...
    def free(self, sequence: int) -> None: ...


class KVCacheManager:
    """Gives sequences their place in the engine. Donors are finished sequences, least recently used
    first, within the engine's `prefix_cache_tokens`; they yield whenever ids or room run short."""

    __slots__ = ("_free_slots", "_kv", "index", "prefix_cache")

    def __init__(self, kv: KeyValues) -> None:
        self._kv = kv
        self.index = PrefixIndex()
        self._free_slots = list(range(kv.info.max_sequences - 1, -1, -1))
        self.prefix_cache = PrefixCache()

    @property
    def num_free_slots(self) -> int:
        return len(self._free_slots)

    def rollback(self, sequence: Sequence, num_wrong: int) -> None:
        """Forget the last tokens, which were guessed and wrong."""
        entry = sequence.entry
        assert entry is not None
        entry.computed -= num_wrong
        if num_wrong:
            self._kv.trim(entry.slot, entry.computed)

    def has_room(self, num_tokens: int) -> bool:
        """Whether that many more tokens fit, without donors if need be."""
        while self._kv.free_tokens < num_tokens:
            if not self.evict_one():
                return False
        return True

    def should_wait(self, sequence: Sequence) -> bool:
        """Whether another sequence is about to compute a beginning that this one can then share."""
        match = self._find(sequence)
        return (
            match is not None
            and match.entry not in self.prefix_cache
            and match.common - match.ready >= _WORTH_WAITING_TOKENS
        )

    def begin(self, sequence: Sequence, committed_tokens: int, num_running: int) -> bool:
        """Place a sequence, sharing the longest computed beginning. `committed_tokens` are promised to
        the `num_running` others, which also grow; alone, a sequence always finds its place."""
        match = self._find(sequence)
        if match is not None and match.ready == 0:
            match = None
        source = match.entry if match else None
        reused = match.ready if match else 0
        needed = len(sequence.tokens) - reused + BLOCK_TOKENS
        if num_running:
            needed += committed_tokens + num_running * BLOCK_TOKENS
        takes_over = source in self.prefix_cache and source is not None and reused == source.computed
        while not (takes_over or self._free_slots) or self._kv.free_tokens < needed:
            if self._evict(but=source):
                continue
            if num_running or not (takes_over or self._free_slots):
                return False
            break
        if source is None:
            slot = self._free_slots.pop()
        elif takes_over:
            self.prefix_cache.remove(source)
            self.index.drop(source)
            slot = source.slot
        else:
            slot = self._free_slots.pop()
            self._kv.fork(source.slot, slot, reused)
            self.prefix_cache.touch(source)
        self._assign(sequence, slot, reused)
        return True

    def fork(self, source: Sequence, target: Sequence) -> bool:
        """`target` shares the whole prompt of `source`; False if no sequence id is free."""
        assert source.entry is not None
        if not self._free_slots and not self.evict_one():
            return False
        slot = self._free_slots.pop()
        self._kv.fork(source.entry.slot, slot, source.num_prompt)
        target.blocks = source.blocks
        self._assign(target, slot, source.num_prompt)
        return True

    def release(self, sequence: Sequence) -> None:
        """The sequence left; what it computed becomes a donor as far as the engine's budget goes."""
        entry = self._take(sequence)
        # An answer may have ended among guessed tokens: what is computed beyond its end is no one's.
        keep = min(entry.computed, len(entry.tokens), self._kv.prefix_cache_tokens)
        if keep < entry.computed and not self._kv.can_trim:
            keep = 0
        if keep < BLOCK_TOKENS:
            self._free(entry)
            return
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

    def forget(self, sequence: Sequence) -> None:
        """The sequence gives up its place; nothing of it is kept."""
        self._free(self._take(sequence))

    def evict_one(self) -> bool:
        """Free the donor that was not used for the longest time."""
        return self._evict(but=None)

    def _find(self, sequence: Sequence) -> Match | None:
        """What can be shared: at least one token stays to compute, and with prompt log-probabilities all,
        since the first is wanted. A state that can't be trimmed is shared whole or not at all."""
        request = sequence.group.request
        if request.num_prompt_logprobs is not None and not sequence.group.is_prompt_done:
            sequence.blocks = []
        if sequence.blocks is None:
            sequence.blocks = block_hashes(request.prompt_tokens, request.cache_salt)
        match = self.index.find(sequence.tokens, sequence.blocks, request.cache_salt)
        if match is None:
            return None
        most = len(sequence.tokens) - 1
        match = Match(match.entry, min(match.common, most), min(match.ready, most))
        if not self._kv.can_trim and match.ready != match.entry.computed:
            return None
        return match

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

    def _evict(self, but: CacheEntry | None) -> bool:
        victim = self.prefix_cache.oldest(but)
        if victim is None:
            return False
        self.prefix_cache.remove(victim)
        self.index.drop(victim)
        self._free(victim)
        return True

    def _free(self, entry: CacheEntry) -> None:
        self._kv.free(entry.slot)
        self._free_slots.append(entry.slot)

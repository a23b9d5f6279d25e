"""Which computed beginnings can be shared: residents found by chained hashes of 16-token blocks."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from myna.scheduling.sequence import Resident

BLOCK_TOKENS: Final = 16
_HOLDERS_TRIED: Final = 8


def block_hashes(tokens: Sequence[int], salt: str, known: Sequence[int] = ()) -> list[int]:
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

    resident: Resident
    common: int
    ready: int


class PrefixIndex:
    """Residents by their blocks. All blocks of a known prefix are known, so a lookup stops at a miss."""

    __slots__ = ("_holders",)

    def __init__(self) -> None:
        self._holders: dict[int, list[Resident]] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def put(self, resident: Resident) -> None:
        for block in resident.blocks:
            self._holders.setdefault(block, []).append(resident)

    def drop(self, resident: Resident) -> None:
        for block in resident.blocks:
            holders = self._holders[block]
            holders.remove(resident)
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
            Match(resident, common, min(common, resident.computed))
            for resident in self._holders[blocks[depth - 1]][-_HOLDERS_TRIED:]
            if resident.salt == salt and (common := _common(resident.tokens, tokens, depth * BLOCK_TOKENS))
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

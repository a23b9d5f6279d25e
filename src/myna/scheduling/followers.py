"""Which token followed which in the answers so far, to propose draft tokens for all of them. Pure.

A table of fixed size holds, for the last one to three tokens (the context), the token that followed most
often, by majority vote (Boyer and Moore 1981). Contexts are salted as the KV cache is: no client's
answers become faster by another's, so that nobody can learn another's texts from times.
"""

from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

_MAX_CONTEXT: Final = 3
_ENTRIES: Final = 1 << 18  # 2 MiB
_MAX_COUNT: Final = 255
# An entry has, from the lowest bit: how often the token followed, and how often another, 8 bits each; the
# token, 24 bits; 24 bits of the context's hash.
_MISSES: Final = 8
_TOKEN: Final = 16
_TAG: Final = 40
_TOKEN_MASK: Final = (1 << 24) - 1

_FIRST_RATE: Final = 0.15  # of acceptance, per token of the context
_WEIGHT: Final = 1 / 32  # of the newest comparison in an acceptance rate


class Follower(NamedTuple):
    """The token that probably comes next. `kind`, the length of the context and how sure its votes are, has
    an acceptance rate of its own."""

    token: int
    kind: int


class FollowerTable:
    """One for each model; its memory doesn't grow."""

    __slots__ = ("_entries", "_rates")

    def __init__(self) -> None:
        self._entries = array("Q", bytes(8 * _ENTRIES))
        self._rates = [_FIRST_RATE * (kind >> 4) for kind in range((_MAX_CONTEXT + 1) << 4)]

    def learn(self, salt: int, tokens: Sequence[int], index: int) -> None:
        """`tokens[index]` was generated."""
        token = tokens[index]
        follower = self._find(salt, tokens[max(0, index - _MAX_CONTEXT) : index])
        if follower is not None:
            rates, kind = self._rates, follower.kind
            rates[kind] += _WEIGHT * ((follower.token == token) - rates[kind])
        for size in range(1, min(_MAX_CONTEXT, index) + 1):
            self._vote(hash((salt, *tokens[index - size : index])), token)

    def propose(
        self, salt: int, tokens: Sequence[int], limit: int, least: float
    ) -> tuple[list[int], list[float]]:
        """Up to `limit` next tokens, and for each the probability of being accepted, if those before it are;
        those whose own probability is below `least` are left out."""
        context, proposed, rates = list(tokens[-_MAX_CONTEXT:]), list[int](), list[float]()
        probability = 1.0
        while len(proposed) < limit and (follower := self._find(salt, context)) is not None:
            rate = self._rates[follower.kind]
            probability *= rate
            if probability < least:
                break
            proposed.append(follower.token)
            rates.append(rate)
            context = [*context[1 - _MAX_CONTEXT :], follower.token]
        return proposed, rates

    def _find(self, salt: int, context: Sequence[int]) -> Follower | None:
        """What followed the longest known context."""
        for size in range(len(context), 0, -1):
            key = hash((salt, *context[-size:]))
            entry = self._entries[key % _ENTRIES]
            if entry and entry >> _TAG == key >> 18 & _TOKEN_MASK:
                hits, misses = entry & _MAX_COUNT, entry >> _MISSES & _MAX_COUNT
                sureness = min(hits, 4).bit_length() << 2 | 3 * hits // (hits + misses)
                return Follower(entry >> _TOKEN & _TOKEN_MASK, size << 4 | sureness)
        return None

    def _vote(self, key: int, token: int) -> None:
        entries, place, tag = self._entries, key % _ENTRIES, key >> 18 & _TOKEN_MASK
        entry = entries[place]
        hits, misses = entry & _MAX_COUNT, entry >> _MISSES & _MAX_COUNT
        if entry >> _TAG != tag or not entry:
            hits, misses, kept = 1, 0, token
        elif (kept := entry >> _TOKEN & _TOKEN_MASK) == token:
            hits += 1
        else:
            misses += 1
            if misses > hits:
                hits, misses, kept = 1, misses >> 1, token
        if max(hits, misses) > _MAX_COUNT:
            hits, misses = hits >> 1, misses >> 1
        entries[place] = tag << _TAG | kept << _TOKEN | misses << _MISSES | hits

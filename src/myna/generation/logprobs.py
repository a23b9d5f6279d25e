"""Log-probabilities of tokens, each with its exact bytes and the most likely alternatives."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

import msgspec

from myna.core.events import LOWEST_LOGPROB, TokenLogprob

# Entries and their top tokens together that are rendered at once, in about a millisecond.
_SLICE: Final = 512


class TopEntry(msgspec.Struct):
    """One of the most likely tokens."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenEntry(msgspec.Struct):
    """A token of the answer."""

    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[TopEntry]


class PackedLogprobs(Sequence[TokenLogprob]):
    """A sequence of entries that stores each as bytes. An entry with its top tokens is about 80 objects, and
    traversing or freeing those of a large answer at once would hold the GIL for tenths of a second."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []

    def extend(self, entries: Iterable[TokenLogprob]) -> None:
        """Append the entries."""
        self._packed += map(_pack, entries)

    def __len__(self) -> int:
        return len(self._packed)

    @overload
    def __getitem__(self, index: int) -> TokenLogprob: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenLogprob]: ...
    def __getitem__(self, index: int | slice) -> TokenLogprob | list[TokenLogprob]:
        if isinstance(index, slice):
            return list(map(_unpack, self._packed[index]))
        return _unpack(self._packed[index])


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(TokenLogprob).decode


def token_entry(entry: TokenLogprob) -> TokenEntry:
    """The entry in the format of chat completions."""
    return TokenEntry(
        _shown(entry.data),
        _finite(entry.logprob),
        _bytes(entry.data),
        [TopEntry(_shown(data), _finite(logprob), _bytes(data)) for _, logprob, data in entry.top],
    )


def per_slice(entries: Sequence[TokenLogprob]) -> int:
    """How many of these entries to render at once without delaying other requests."""
    return max(1, _SLICE // (1 + max((len(entry.top) for entry in entries[:2]), default=0)))


def slices(entries: Sequence[TokenLogprob]) -> Iterator[Sequence[TokenLogprob]]:
    """The entries in slices of that length; one empty slice if there are none."""
    length = per_slice(entries)
    for start in range(0, len(entries) or 1, length):
        yield entries[start : start + length]


def _shown(data: bytes) -> str:
    """The token's text; bytes that are not a whole character are escaped, as `\\xe4`."""
    return data.decode("utf-8", "backslashreplace")


def _bytes(data: bytes) -> list[int] | None:
    return list(data) or None


def _finite(logprob: float | None) -> float:
    return LOWEST_LOGPROB if logprob is None else max(logprob, LOWEST_LOGPROB)

"""A model's vocabulary, as needed to read its output."""

from collections.abc import Sequence

import msgspec


class TokenTable(msgspec.Struct, frozen=True):
    """By token id: `pieces` are the exact bytes, `shown_pieces` what clients see (empty for control tokens).
    Both cover every id that the engine may generate. Each of `end_tokens` ends an answer."""

    pieces: Sequence[bytes]
    shown_pieces: Sequence[bytes]
    end_tokens: frozenset[int]

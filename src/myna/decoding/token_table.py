"""A model's vocabulary as its output is read."""

from collections.abc import Sequence

import msgspec


class TokenTable(msgspec.Struct, frozen=True):
    """By token id: `pieces` are the true bytes, `shown_pieces` what readers see (nothing of control tokens).
    Both cover every id that the engine may generate. Each of `end_tokens` ends an answer."""

    pieces: Sequence[bytes]
    shown_pieces: Sequence[bytes]
    end_tokens: frozenset[int]

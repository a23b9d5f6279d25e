"""Log-probabilities in the chat shape: a token with its true bytes, and the likeliest beside it."""

from collections.abc import Sequence

import msgspec

from myna.core.events import LOWEST_LOGPROB, TokenLogprob


class TopEntry(msgspec.Struct):
    """One of the likeliest tokens."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenEntry(msgspec.Struct):
    """A token of the answer."""

    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[TopEntry]


class ChoiceLogprobs(msgspec.Struct):
    """Those of a choice, or of one chunk of it."""

    content: list[TokenEntry]
    refusal: None = None


def token_entries(entries: Sequence[TokenLogprob]) -> list[TokenEntry]:
    """In the order of the tokens."""
    return [
        TokenEntry(
            _shown(entry.data),
            _finite(entry.logprob),
            _bytes(entry.data),
            [TopEntry(_shown(data), _finite(logprob), _bytes(data)) for _, logprob, data in entry.top],
        )
        for entry in entries
    ]


def _shown(data: bytes) -> str:
    """The token's text; bytes that are no whole character stand escaped, as `\\xe4`."""
    return data.decode("utf-8", "backslashreplace")


def _bytes(data: bytes) -> list[int] | None:
    return list(data) or None


def _finite(logprob: float | None) -> float:
    return LOWEST_LOGPROB if logprob is None else max(logprob, LOWEST_LOGPROB)

"""Log-probabilities in the legacy shape: parallel lists, texts of tokens, offsets from the prompt's start."""

from collections.abc import Sequence
from typing import Final

from myna.api.completions.schema import Logprobs
from myna.core.events import LOWEST_LOGPROB, TokenLogprob

_CONTINUATION: Final = range(0x80, 0xC0)


def token_text(data: bytes) -> str:
    """A token's text; one that isn't whole characters shows its bytes, `bytes:\\xe4\\xbd`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def num_starts(data: bytes) -> int:
    """How many characters begin in these bytes."""
    return sum(byte not in _CONTINUATION for byte in data)


class OffsetCounter:
    """Where each token stands, in characters from the prompt's start; one counter a choice.

    A token that begins inside a character stands where that character does.
    """

    def __init__(self, start: int) -> None:
        self._next = start

    def render(self, entries: Sequence[TokenLogprob]) -> Logprobs:
        """The lists of the next tokens."""
        offsets: list[int] = []
        for entry in entries:
            inside = bool(entry.data) and entry.data[0] in _CONTINUATION
            offsets.append(max(0, self._next - inside))
            self._next += num_starts(entry.data)
        return Logprobs(
            tokens=[token_text(entry.data) for entry in entries],
            token_logprobs=[_finite(entry.logprob) for entry in entries],
            top_logprobs=[_likeliest(entry) for entry in entries],
            text_offset=offsets,
        )


def prompt_logprobs(entries: Sequence[TokenLogprob], text: str) -> Logprobs:
    """The prompt's own tokens. What a tokenizer adds in front (a beginning-of-document token, a
    space) is not in the text, so the tokens are longer than it: they are counted from its end."""
    added = sum(num_starts(entry.data) for entry in entries) - len(text)
    return OffsetCounter(-added).render(entries)


def joined(parts: Sequence[Logprobs]) -> Logprobs:
    """The lists of all parts, one after another."""
    whole = Logprobs([], [], [], [])
    for part in parts:
        whole.tokens += part.tokens
        whole.token_logprobs += part.token_logprobs
        whole.top_logprobs += part.top_logprobs
        whole.text_offset += part.text_offset
    return whole


def _likeliest(entry: TokenLogprob) -> dict[str, float] | None:
    """The likeliest by text, and the token itself; None where nothing was predicted."""
    if entry.logprob is None:
        return None
    shown = {token_text(data): max(logprob, LOWEST_LOGPROB) for _, logprob, data in reversed(entry.top)}
    shown = dict(reversed(shown.items()))
    shown.setdefault(token_text(entry.data), max(entry.logprob, LOWEST_LOGPROB))
    return shown


def _finite(logprob: float | None) -> float | None:
    return None if logprob is None else max(logprob, LOWEST_LOGPROB)

"""Log-probabilities in the legacy shape: parallel lists, texts of tokens, offsets from the prompt's start."""

from collections.abc import Callable, Sequence
from typing import Final

from myna.api.completions.schema import LazyLogprobs, Logprobs
from myna.core.events import LOWEST_LOGPROB, TokenLogprob
from myna.generation.json_parts import LazyArray
from myna.generation.logprobs import per_slice

_CONTINUATION: Final = bytes(range(0x80, 0xC0))
_SIMPLE_PER_SLICE: Final = 512


def token_text(data: bytes) -> str:
    """A token's text; one that isn't whole characters shows its bytes, `bytes:\\xe4\\xbd`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def num_starts(data: bytes) -> int:
    """How many characters begin in these bytes."""
    return len(data.translate(None, _CONTINUATION))


class OffsetCounter:
    """Where each token begins, in characters from the prompt's start; one counter a choice.

    A token that begins inside a character is where that character begins.
    """

    def __init__(self, start: int) -> None:
        self._next = start

    def offset(self, entry: TokenLogprob) -> int:
        """Of the next token."""
        is_inside = bool(entry.data) and entry.data[0] in _CONTINUATION
        start = max(0, self._next - is_inside)
        self._next += num_starts(entry.data)
        return start

    def render(self, entries: Sequence[TokenLogprob]) -> Logprobs:
        """The lists of the next tokens."""
        return Logprobs(
            tokens=[token_text(entry.data) for entry in entries],
            token_logprobs=[_finite(entry) for entry in entries],
            top_logprobs=[_likeliest(entry) for entry in entries],
            text_offset=[self.offset(entry) for entry in entries],
        )


def prompt_offsets(entries: Sequence[TokenLogprob], text: str) -> OffsetCounter:
    """For the prompt's own tokens. What a tokenizer adds in front (a beginning-of-document token, a space) is
    not in the text, so the tokens are longer than it: they are counted from its end."""
    added = sum(num_starts(entry.data) for entry in entries) - len(text)
    return OffsetCounter(-added)


def lazy_logprobs(
    prompt: str, prompt_entries: Sequence[TokenLogprob], entries: Sequence[TokenLogprob]
) -> LazyLogprobs:
    """The lists of an echoed prompt's tokens, if any, and of its answer's."""
    all_entries = [*prompt_entries, *entries]
    length = per_slice(entries or prompt_entries)
    return LazyLogprobs(
        tokens=LazyArray(all_entries, lambda entry: token_text(entry.data), _SIMPLE_PER_SLICE),
        token_logprobs=LazyArray(all_entries, _finite, _SIMPLE_PER_SLICE),
        top_logprobs=LazyArray(all_entries, _likeliest, length),
        text_offset=LazyArray(all_entries, _offsets(prompt, prompt_entries), _SIMPLE_PER_SLICE),
    )


def _offsets(prompt: str, prompt_entries: Sequence[TokenLogprob]) -> Callable[[TokenLogprob], int]:
    """To be called for each token in turn."""
    own, others = prompt_offsets(prompt_entries, prompt), OffsetCounter(len(prompt))
    left = len(prompt_entries)

    def offset(entry: TokenLogprob) -> int:
        nonlocal left
        left -= 1
        return own.offset(entry) if left >= 0 else others.offset(entry)

    return offset


def _likeliest(entry: TokenLogprob) -> dict[str, float] | None:
    """The likeliest by text, and the token itself; None where nothing was predicted."""
    if entry.logprob is None:
        return None
    shown = {token_text(data): max(logprob, LOWEST_LOGPROB) for _, logprob, data in reversed(entry.top)}
    shown = dict(reversed(shown.items()))
    shown.setdefault(token_text(entry.data), max(entry.logprob, LOWEST_LOGPROB))
    return shown


def _finite(entry: TokenLogprob) -> float | None:
    return None if entry.logprob is None else max(entry.logprob, LOWEST_LOGPROB)

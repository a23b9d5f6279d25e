"""Log-probabilities in the legacy format: parallel lists, token texts, offsets from the prompt's start."""

from collections.abc import Callable, Sequence
from typing import Final

from myna.api.completions.schema import LazyLogprobs, Logprobs
from myna.core.events import LOWEST_LOGPROB, TokenLogprob
from myna.generation.json_parts import LazyArray
from myna.generation.logprobs import per_slice

_CONTINUATION: Final = bytes(range(0x80, 0xC0))
_SIMPLE_PER_SLICE: Final = 512


def token_text(data: bytes) -> str:
    """A token's text; if it isn't whole characters, its bytes, as `bytes:\\xe4\\xbd`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def num_starts(data: bytes) -> int:
    """The number of characters that start in these bytes."""
    return len(data.translate(None, _CONTINUATION))


class OffsetCounter:
    """The offset of each token, in characters from the prompt's start; one counter per choice.

    A token that starts inside a character has the offset of that character.
    """

    def __init__(self, start: int) -> None:
        self._next = start

    def offset(self, entry: TokenLogprob) -> int:
        """The offset of the next token."""
        is_inside = bool(entry.data) and entry.data[0] in _CONTINUATION
        start = max(0, self._next - is_inside)
        self._next += num_starts(entry.data)
        return start

    def render(self, entries: Sequence[TokenLogprob]) -> Logprobs:
        """The lists for the next tokens."""
        return Logprobs(
            tokens=[token_text(entry.data) for entry in entries],
            token_logprobs=[_finite(entry) for entry in entries],
            top_logprobs=[_top_logprobs(entry) for entry in entries],
            text_offset=[self.offset(entry) for entry in entries],
        )


def prompt_offsets(entries: Sequence[TokenLogprob], text: str) -> OffsetCounter:
    """A counter for the prompt's tokens. What the tokenizer adds in front (a beginning-of-sequence token, a
    space) is not part of the text, so offsets are aligned with its end."""
    added = sum(num_starts(entry.data) for entry in entries) - len(text)
    return OffsetCounter(-added)


def lazy_logprobs(
    prompt: str, prompt_entries: Sequence[TokenLogprob], entries: Sequence[TokenLogprob]
) -> LazyLogprobs:
    """The lists for the tokens of an echoed prompt, if any, and of the completion."""
    all_entries = [*prompt_entries, *entries]
    length = per_slice(entries or prompt_entries)
    return LazyLogprobs(
        tokens=LazyArray(all_entries, lambda entry: token_text(entry.data), _SIMPLE_PER_SLICE),
        token_logprobs=LazyArray(all_entries, _finite, _SIMPLE_PER_SLICE),
        top_logprobs=LazyArray(all_entries, _top_logprobs, length),
        text_offset=LazyArray(all_entries, _offsets(prompt, prompt_entries), _SIMPLE_PER_SLICE),
    )


def _offsets(prompt: str, prompt_entries: Sequence[TokenLogprob]) -> Callable[[TokenLogprob], int]:
    """A function to be called for each token in order."""
    own, others = prompt_offsets(prompt_entries, prompt), OffsetCounter(len(prompt))
    left = len(prompt_entries)

    def offset(entry: TokenLogprob) -> int:
        nonlocal left
        left -= 1
        return own.offset(entry) if left >= 0 else others.offset(entry)

    return offset


def _top_logprobs(entry: TokenLogprob) -> dict[str, float] | None:
    """The most likely tokens by text, and the token itself; None if nothing was predicted."""
    if entry.logprob is None:
        return None
    shown = {token_text(data): max(logprob, LOWEST_LOGPROB) for _, logprob, data in reversed(entry.top)}
    shown = dict(reversed(shown.items()))
    shown.setdefault(token_text(entry.data), max(entry.logprob, LOWEST_LOGPROB))
    return shown


def _finite(entry: TokenLogprob) -> float | None:
    return None if entry.logprob is None else max(entry.logprob, LOWEST_LOGPROB)

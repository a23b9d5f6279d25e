"""Tokens of one choice to text that is safe to show: whole characters, no part of a stop string."""

from codecs import utf_8_decode
from collections import deque
from collections.abc import Sequence

from myna.decoding.stopping import StopMatcher


class ChoiceText:
    """The text of one choice as it grows.

    The pieces joined are what decoding all bytes at once with errors="replace" would give, up to the
    stop string; of a character whose last bytes never came nothing is shown. `push` each token that has
    text to show (no end-of-text token), stop when `is_stopped`, else call `finish` once after the last.
    """

    __slots__ = (
        "_matcher",
        "_num_chars",
        "_num_chars_shown",
        "_num_shown",
        "_pending",
        "_starts",
        "_token_bytes",
        "is_stopped",
    )

    def __init__(
        self, token_bytes: Sequence[bytes], stops: Sequence[str] = (), *, is_tracking: bool = False
    ) -> None:
        """`is_tracking` keeps `num_shown`, which the choice's log-probabilities need."""
        self._token_bytes = token_bytes
        self._matcher = StopMatcher(stops) if any(stops) else None
        self._pending = b""
        # A stop string is complete: the choice has ended and nothing more will be shown.
        self.is_stopped = False
        self._num_chars = 0
        self._num_chars_shown = 0
        self._num_shown = 0
        # Where the text of each token not yet shown begins, in characters of the whole text.
        self._starts: deque[int] | None = deque() if is_tracking else None

    @property
    def num_shown(self) -> int:
        """How many of the tokens pushed, from the first on, have reached the output, at least in part."""
        return self._num_shown

    def begin_with(self, data: bytes) -> None:
        """Text that stands before the first token: it is shown with it."""
        self._pending = data

    def push(self, token: int) -> str:
        """Take the next token; return what can be shown now, often its text, sometimes nothing."""
        data = self._token_bytes[token]
        if self._pending:
            data = self._pending + data
        text, num_used = utf_8_decode(data, "replace", False)
        self._pending = data[num_used:] if num_used < len(data) else b""
        if self._starts is None and self._matcher is None:
            return text
        if self._starts is not None and not self.is_stopped:
            self._starts.append(self._num_chars)
        return self._show(text)

    def finish(self) -> str:
        """The choice ended by itself: return all that was held back. Nothing after a stop string."""
        self._pending = b""
        held = "" if self._matcher is None or self.is_stopped else self._matcher.finish()
        if not self.is_stopped:
            self._count_shown(len(held))
        return held

    def _show(self, text: str) -> str:
        if self.is_stopped:
            return ""
        shown = text
        if self._matcher is not None:
            shown = self._matcher.push(text)
            self.is_stopped = self._matcher.is_stopped
        self._num_chars += len(text)
        self._count_shown(len(shown))
        return shown

    def _count_shown(self, num_chars: int) -> None:
        """Count the tokens whose first character is out; one without characters goes with the text before
        it."""
        self._num_chars_shown += num_chars
        starts = self._starts
        if starts is None:
            return
        is_all_out = self._num_chars_shown == self._num_chars and not self._pending
        while starts and (is_all_out or starts[0] < self._num_chars_shown):
            starts.popleft()
            self._num_shown += 1

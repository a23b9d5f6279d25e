"""Turns one choice's tokens into text that is safe to send: whole characters, no part of a stop string."""

from codecs import utf_8_decode
from collections import deque
from collections.abc import Sequence

from myna.core.requests import NO_CALLS, CallMarks
from myna.decoding.stopping import StopMatcher


class ChoiceText:
    """The text of one choice as it grows.

    The returned pieces together equal decoding all bytes at once with errors="replace", up to the stop
    string; an incomplete character at the end is dropped. `push` each token that has text (no end-of-text
    token), stop when `is_stopped`, otherwise call `finish` once after the last token."""

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
        self,
        token_bytes: Sequence[bytes],
        stops: Sequence[str] = (),
        calls: CallMarks = NO_CALLS,
        *,
        is_tracking: bool = False,
    ) -> None:
        """`is_tracking` maintains `num_shown`, which log-probabilities need."""
        self._token_bytes = token_bytes
        self._matcher = StopMatcher(stops, calls) if any(stops) else None
        self._pending = b""
        # A stop string is complete: the choice has ended and no more text will be shown.
        self.is_stopped = False
        self._num_chars = 0
        self._num_chars_shown = 0
        self._num_shown = 0
        # Where the text of each token not yet shown begins, in characters of the whole text.
        self._starts: deque[int] | None = deque() if is_tracking else None

    @property
    def stop(self) -> str:
        """The stop string that ended the text; empty if none did."""
        return "" if self._matcher is None else self._matcher.stop

    @property
    def num_shown(self) -> int:
        """How many of the pushed tokens have been shown, at least in part."""
        return self._num_shown

    def push(self, token: int, *, may_stop: bool = True) -> str:
        """Add the next token; return the text that can be shown now, possibly none. Stop strings are looked
        for from the first token on with which the text `may_stop`."""
        return self.push_bytes(self._token_bytes[token], may_stop=may_stop)

    def push_bytes(self, data: bytes, *, may_stop: bool = True) -> str:
        """`push` of a token of which only these bytes are shown."""
        if self._pending:
            data = self._pending + data
        text, num_used = utf_8_decode(data, "replace", False)
        self._pending = data[num_used:] if num_used < len(data) else b""
        if self._starts is None and self._matcher is None:
            return text
        if self._starts is not None and not self.is_stopped:
            self._starts.append(self._num_chars)
        return self._show(text, may_stop)

    def finish(self) -> str:
        """The choice has ended: return all text that was held back, up to a stop string in it; none if one
        was found before."""
        self._pending = b""
        if self.is_stopped:
            return ""
        held = ""
        if self._matcher is not None:
            held = self._matcher.finish()
            self.is_stopped = self._matcher.is_stopped
        self._count_shown(len(held))
        return held

    def _show(self, text: str, may_stop: bool) -> str:
        if self.is_stopped:
            return ""
        shown = text
        if self._matcher is not None:
            shown = self._matcher.push(text, may_stop=may_stop)
            self.is_stopped = self._matcher.is_stopped
        self._num_chars += len(text)
        self._count_shown(len(shown))
        return shown

    def _count_shown(self, num_chars: int) -> None:
        """Count the tokens whose first character has been shown; a token without characters counts with the
        text before it."""
        self._num_chars_shown += num_chars
        starts = self._starts
        if starts is None:
            return
        is_all_shown = self._num_chars_shown == self._num_chars and not self._pending
        while starts and (is_all_shown or starts[0] < self._num_chars_shown):
            starts.popleft()
            self._num_shown += 1

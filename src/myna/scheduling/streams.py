"""The event stream of one request, in the event loop's thread."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Self

import msgspec

from myna.core.errors import MynaError
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta
from myna.scheduling.resuming import SentEvents

_MERGE_AT: Final = 256


class RequestStream:
    """The `EventStream` of Myna's own scheduler.

    A slow reader doesn't affect others: from 256 pending events on, the deltas of a choice are merged, so
    that the buffer stays near the size of the answer itself. `on_close` is called once, if the reader closes
    the stream before its end. With `is_held`, nothing after `PromptDone` can be read before the stream has
    ended. `sent` is notified of what is read, if that must be known to continue the answer elsewhere."""

    __slots__ = (
        "_error",
        "_events",
        "_is_ended",
        "_is_held",
        "_merge_at",
        "_on_close",
        "_waiter",
        "is_prompt_read",
        "is_text_read",
        "sent",
    )

    def __init__(
        self, on_close: Callable[[], None], *, is_held: bool = False, sent: SentEvents | None = None
    ) -> None:
        self._events: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: MynaError | None = None
        self._is_ended = False
        self._merge_at = _MERGE_AT
        self._on_close = on_close
        self._is_held = is_held
        self.sent = sent
        self.is_prompt_read = False
        self.is_text_read = False  # from here on, a restart would be visible to the client

    def __aiter__(self) -> Self:
        return self

    def get_nowait(self) -> Event | None:
        events = self._events
        if not events:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return None
        if self._is_held and not self._is_ended and type(events[0]) is not PromptDone:
            return None
        event = events.popleft()
        if type(event) is PromptDone:
            self.is_prompt_read = True
        else:
            self.is_text_read = True
            if self.sent is not None:
                self.sent.note(event)
        return event

    async def __anext__(self) -> Event:
        while (event := self.get_nowait()) is None:
            if self._is_ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return event

    async def aclose(self) -> None:
        """Idempotent; aborts an unfinished generation, even one that was never read."""
        self._events.clear()
        self._error = None
        if not self._is_ended:
            self._is_ended = True
            self._on_close()
        self._wake()

    def push(self, event: Event) -> None:
        """The next event; `Done` ends the stream."""
        if self._is_ended:
            return
        self._events.append(event)
        if type(event) is Done:
            self._is_ended = True
        elif len(self._events) >= self._merge_at:
            self._events = deque(_merged(self._events))
            self._merge_at = max(_MERGE_AT, 2 * len(self._events))
        if not self._is_held or self._is_ended or type(event) is PromptDone:
            self._wake()

    def fail(self, error: MynaError) -> None:
        """End the stream with an error, after the events already pushed."""
        if not self._is_ended:
            self._is_ended = True
            self._error = error
            self._wake()

    def rewind(self) -> None:
        """Drop all unread events: the request runs again from its beginning."""
        self._events.clear()
        if self.sent is not None:
            self.sent.rewind()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _merged(events: deque[Event]) -> list[Event]:
    """The same events with each choice's consecutive deltas joined; each choice keeps its order."""
    merged: list[Event] = []
    runs: dict[int, list[TextDelta]] = {}
    for event in events:
        if isinstance(event, TextDelta):
            run = runs.setdefault(event.choice, [])
            if run and run[0].is_thought != event.is_thought:
                merged.append(_joined(run))
                run.clear()
            run.append(event)
            continue
        if isinstance(event, ChoiceDone) and event.choice in runs:
            merged.append(_joined(runs.pop(event.choice)))
        merged.append(event)
    return merged + [_joined(run) for run in runs.values()]


def _joined(run: list[TextDelta]) -> TextDelta:
    return msgspec.structs.replace(
        run[0],
        text="".join(delta.text for delta in run),
        num_tokens=sum(delta.num_tokens for delta in run),
        logprobs=tuple(logprob for delta in run for logprob in delta.logprobs),
        token_ids=tuple(token for delta in run for token in delta.token_ids),
    )

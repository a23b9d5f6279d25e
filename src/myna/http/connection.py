"""The connection of one response: watches for a disconnect, and writes the body."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from starlette.types import Receive, Send

from myna.http.record import Header, RequestRecord

_MIN_BYTES_PER_S: Final = 16 << 10
# U+2028, U+2029 and U+0085, which many clients take for line ends and so for the end of an event's data.
_UNICODE_LINE_ENDS: Final = {text.encode(): b"\\u%04x" % ord(text) for text in ("\u2028", "\u2029", "\u0085")}


class WhileConnected:
    """Cancels its block when the client disconnects, and suppresses only that cancellation."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_disconnected = False
        self.is_complete = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        self._task = task
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.abort()

    def abort(self) -> None:
        """Cancel the block: the client no longer reads the response."""
        if not self.is_complete and not self.is_disconnected:
            self.is_disconnected = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watcher.cancel()
        if self.is_disconnected and isinstance(exc, asyncio.CancelledError):
            return self._task.uncancel() == 0
        return False


class BodyWriter:
    """Sends the headers and the body's bytes, and commits token counts before each write.

    With `keep_alive_s`, the body is a stream of events with JSON, and what `keep_alive` returns is sent after
    that long without a write, also before the first byte. A write that takes `stall_s` calls `on_stall`. So
    does a whole body, which has no keep-alives, if its client reads less than 16 KiB/s on average, after
    `stall_s`.
    There is one timer per body, not per write: it checks how long ago the last write was and reschedules
    itself for the rest.
    """

    def __init__(
        self,
        send: Send,
        record: RequestRecord,
        headers: list[Header],
        *,
        keep_alive_s: float | None,
        stall_s: float,
        on_stall: Callable[[], None],
        keep_alive: Callable[[], bytes],
    ) -> None:
        self._send = send
        self._record = record
        self._headers = headers
        self._is_event_stream = keep_alive_s is not None
        self._interval_s = stall_s / 4 if keep_alive_s is None else keep_alive_s
        self._stall_s = stall_s
        self._on_stall = on_stall
        self._sign_of_life = keep_alive
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()
        self._timer = self._loop.call_later(self._interval_s, self._on_timer)
        self._keep_alive: asyncio.Task[None] | None = None
        self._is_sending = False
        self._num_sent = 0
        self._started_at = 0.0
        self.has_started = False
        self.has_ended = False

    def add_header(self, header: Header) -> None:
        """Must be called before the first write."""
        self._headers.append(header)

    async def write(self, data: bytes, *, is_last: bool = False) -> None:
        if self._keep_alive is not None:
            await asyncio.wait((self._keep_alive,))
        if self._is_event_stream and not data.isascii():
            data = _without_unicode_line_ends(data)
        self._last_write = self._loop.time()
        self._is_sending = True
        try:
            if not self.has_started:
                await self._start()
            self._record.before_frame()
            await self._send({"type": "http.response.body", "body": data, "more_body": not is_last})
            self._num_sent += len(data)
        finally:
            self._is_sending = False

    async def finish(self, data: bytes) -> None:
        """Write the last bytes."""
        await self.write(data, is_last=True)
        self.has_ended = True

    def close(self) -> None:
        self._timer.cancel()
        if self._keep_alive is not None:
            self._keep_alive.cancel()

    async def _start(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
        self.has_started = True
        self._started_at = self._loop.time()

    def _is_too_slow(self) -> bool:
        """Whether the client of a whole body reads so slowly that it could hold it for hours."""
        allowed_s = self._stall_s + self._num_sent / _MIN_BYTES_PER_S
        return self.has_started and self._loop.time() - self._started_at > allowed_s

    def _on_timer(self) -> None:
        silence_s = self._loop.time() - self._last_write
        if self._is_sending or self._keep_alive is not None:
            if silence_s >= self._stall_s or (not self._is_event_stream and self._is_too_slow()):
                self._on_stall()
                return
            silence_s = 0.0
        elif not self._is_event_stream:
            silence_s = 0.0
        elif silence_s >= self._interval_s:
            self._last_write, silence_s = self._loop.time(), 0.0
            # Called now: a write that waits for the task may come after other events.
            self._keep_alive = self._loop.create_task(self._send_keep_alive(self._sign_of_life()))
            self._keep_alive.add_done_callback(self._on_keep_alive_sent)
        self._timer = self._loop.call_later(self._interval_s - silence_s, self._on_timer)

    def _on_keep_alive_sent(self, task: asyncio.Task[None]) -> None:
        self._keep_alive = None
        if not task.cancelled() and task.exception() is not None:
            self._on_stall()  # the connection accepts no more data

    async def _send_keep_alive(self, data: bytes) -> None:
        if not self.has_started:
            await self._start()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})


def _without_unicode_line_ends(data: bytes) -> bytes:
    """Events with those characters escaped. They can only be within strings."""
    for character, escape in _UNICODE_LINE_ENDS.items():
        data = data.replace(character, escape)
    return data

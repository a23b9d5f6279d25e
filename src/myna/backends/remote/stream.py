"""The events of one relayed response, read from the upstream when the client is ready for them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from myna.backends.remote.answers import AnswerReader
from myna.backends.remote.connection import ProtocolError, Response
from myna.core.errors import UpstreamFailed, UpstreamTimeout
from myna.core.events import Event

# What a connection raises if an upstream can't be reached, breaks off, or doesn't speak HTTP.
BROKEN: Final = (ProtocolError, OSError)
_MAX_BODY_BYTES: Final = 32 << 20
_INLINE_BYTES: Final = 1 << 20
_LAST_BYTES_S: Final = 1.0  # for the end of a body after `[DONE]`, so that the connection can be reused


class RelayedStream:
    """A `core.generator.EventStream`. `on_close` is called once, with the upstream's failure, if any."""

    def __init__(
        self,
        response: Response,
        reader: AnswerReader,
        *,
        is_stream: bool,
        timeout_s: float,
        on_close: Callable[[Exception | None], None],
    ) -> None:
        self._response = response
        self._reader = reader
        self._timeout_s = timeout_s
        self._on_close = on_close
        self._read = self._read_events if is_stream else self._read_body
        self._ready: deque[Event] = deque()
        self._failure: UpstreamFailed | None = None
        self._has_ended = False
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        # One timer for all waits, since each event is waited for. It checks how long the last wait has taken.
        self._waits_since: float | None = None
        self._timer = self._loop.call_later(timeout_s, self._on_timer)

    def __aiter__(self) -> "RelayedStream":
        return self

    def get_nowait(self) -> Event | None:
        return self._ready.popleft() if self._ready else None

    async def __anext__(self) -> Event:
        if not (self._ready or self._has_ended or self._is_closed):
            await self._fill()
        if self._ready:
            return self._ready.popleft()
        if self._failure is not None and not self._is_closed:
            raise self._failure
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._ready.clear()
        self._timer.cancel()
        try:
            if self._reader.is_done and self._failure is None and not self._response.skip_to_end():
                await self._read_to_end()
        finally:
            self._response.release()
            self._on_close(self._failure)

    async def _fill(self) -> None:
        """Wait until there is an event, or no more will come."""
        self._waits_since = self._loop.time()
        try:
            await self._read()
        except UpstreamFailed as exc:
            self._fail(exc)
        except BROKEN as exc:
            failure = self._reader.failed("broke off")
            failure.__cause__ = exc
            self._fail(failure)
        finally:
            self._waits_since = None

    async def _read_events(self) -> None:
        reader = self._reader
        while not (self._ready or self._has_ended):
            data = await self._response.read()
            chunk = reader.feed(data)
            if chunk is not None:
                self._ready.append(chunk)
            if reader.failure is not None:
                raise reader.failure
            if reader.is_done or not data:
                self._end(reader.finish())

    async def _read_body(self) -> None:
        body = bytearray()
        while data := await self._response.read():
            body += data
            if len(body) > _MAX_BODY_BYTES:
                raise self._reader.failed(f"sent more than {_MAX_BODY_BYTES >> 20} MiB")
        self._waits_since = None  # for the upstream
        if len(body) <= _INLINE_BYTES:
            self._end(self._reader.whole(bytes(body)))
        else:
            self._end(await asyncio.to_thread(self._reader.whole, bytes(body)))

    async def _read_to_end(self) -> None:
        try:
            async with asyncio.timeout(_LAST_BYTES_S):
                while await self._response.read():
                    pass
        except BROKEN:
            pass  # it is not reused

    def _end(self, events: list[Event]) -> None:
        if not self._is_closed:
            self._ready.extend(events)
        self._has_ended = True

    def _fail(self, failure: UpstreamFailed) -> None:
        self._failure = self._failure or failure
        self._has_ended = True
        self._response.release()

    def _on_timer(self) -> None:
        waited_s = 0.0 if self._waits_since is None else self._loop.time() - self._waits_since
        if waited_s < self._timeout_s:
            self._timer = self._loop.call_later(self._timeout_s - waited_s, self._on_timer)
            return
        self._fail(
            UpstreamTimeout(f"The upstream {self._reader.upstream!r} sent nothing for {self._timeout_s:g} s.")
        )

"""The events of one relayed response: a task reads from the upstream, with a bounded buffer for the
client."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import httpcore2

from myna.backends.remote.answers import AnswerReader
from myna.core.errors import UpstreamFailed, UpstreamTimeout
from myna.core.events import Event, WireChunk

# What httpcore raises if an upstream can't be reached, breaks off, or doesn't speak HTTP.
BROKEN: Final = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
    OSError,
)
_MAX_AHEAD_BYTES: Final = 1 << 20
_MAX_BODY_BYTES: Final = 32 << 20
_INLINE_BYTES: Final = 1 << 20
_LAST_BYTES_S: Final = 1.0  # for the end of a body after `[DONE]`, so that the connection can be reused


class RelayedStream:
    """A `core.generator.EventStream`. `on_close` is called once, with the upstream's failure, if any."""

    def __init__(
        self,
        response: httpcore2.Response,
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
        self._ready: deque[Event] = deque()
        self._num_ahead_bytes = 0
        self._changed = asyncio.Event()
        self._failure: Exception | None = None
        self._has_ended = False
        self._is_closed = False
        read = self._read_stream if is_stream else self._read_body
        self._task = asyncio.get_running_loop().create_task(self._run(read))
        self._task.add_done_callback(lambda _: self._changed.set())

    def __aiter__(self) -> "RelayedStream":
        return self

    def get_nowait(self) -> Event | None:
        if not self._ready:
            return None
        event = self._ready.popleft()
        if type(event) is WireChunk:
            was_full = self._num_ahead_bytes >= _MAX_AHEAD_BYTES
            self._num_ahead_bytes -= len(event.data)
            if was_full:
                self._changed.set()
        return event

    async def __anext__(self) -> Event:
        if not self._ready:
            await self._wait()
        event = self.get_nowait()
        if event is None:
            if self._failure is not None and not self._is_closed:
                raise self._failure
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._ready.clear()
        self._num_ahead_bytes = 0
        if self._reader.is_done and not self._task.done():
            await asyncio.wait([self._task], timeout=_LAST_BYTES_S)
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._response.aclose()  # a task that is cancelled before it starts doesn't close it
        self._changed.set()
        self._on_close(self._failure)

    async def _wait(self) -> None:
        """Wait until there is an event, or no more will come."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while not (self._ready or self._has_ended or self._task.done() or self._is_closed):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._failure = UpstreamTimeout(
                f"The upstream {self._reader.upstream!r} sent nothing for {self._timeout_s:g} s."
            )
            self._task.cancel()

    async def _run(self, read: Callable[[], Awaitable[None]]) -> None:
        try:
            await read()
        except UpstreamFailed as exc:
            self._failure = self._failure or exc
        except BROKEN as exc:
            if not self._reader.is_done:
                self._failure = self._failure or self._reader.failed("broke off")
                self._failure.__cause__ = exc
        finally:
            await self._response.aclose()

    async def _read_stream(self) -> None:
        async for data in self._response.aiter_stream():
            was_done = self._reader.is_done
            chunk = self._reader.feed(data)
            if chunk is not None:
                self._put(chunk)
            if self._reader.failure is not None:
                raise self._reader.failure
            if self._reader.is_done and not was_done:
                self._end(self._reader.finish())
            while self._num_ahead_bytes >= _MAX_AHEAD_BYTES:
                self._changed.clear()
                await self._changed.wait()
        if not self._reader.is_done:
            self._end(self._reader.finish())

    async def _read_body(self) -> None:
        body = bytearray()
        async for data in self._response.aiter_stream():
            body += data
            if len(body) > _MAX_BODY_BYTES:
                raise self._reader.failed(f"sent more than {_MAX_BODY_BYTES >> 20} MiB")
        if len(body) <= _INLINE_BYTES:
            self._end(self._reader.whole(bytes(body)))
        else:
            self._end(await asyncio.to_thread(self._reader.whole, bytes(body)))

    def _put(self, chunk: WireChunk) -> None:
        self._ready.append(chunk)
        self._num_ahead_bytes += len(chunk.data)
        self._changed.set()

    def _end(self, events: list[Event]) -> None:
        self._ready.extend(events)
        self._has_ended = True
        self._changed.set()

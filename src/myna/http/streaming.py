"""Sends the response to a model request: server-sent events as they are produced, or one whole body.

An endpoint does its work inside `response_sender`: loading a model may take long there, and an error is
reported to the client in whichever way is still possible.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from itertools import chain, islice
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

from starlette.types import Receive, Scope, Send

from myna.core.events import Done, Event
from myna.core.generator import EventStream
from myna.http.access_log import record_failure
from myna.http.connection import BodyWriter, WhileConnected
from myna.http.event_format import OPENAI_EVENTS, EventFormat
from myna.http.record import Header, header_value, record_of
from myna.http.rendering import INLINE_PARTS, render_off_loop

_STREAM_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would hold the events back
}
_WHOLE_HEADERS: Final = {"content-type": "application/json"}
# Events that are ready are sent together; after this many, other streams get their turn.
_MAX_COALESCED: Final = 64
# The size of one write; a client may read slowly.
_WRITE_BYTES: Final = 65536
_STREAM_STALL_S: Final = 600.0
_WHOLE_STALL_S: Final = 60.0


class ChunkRenderer(Protocol):
    """Renders the events of one request as server-sent events; pure."""

    def feed(self, event: Event) -> bytes | Iterator[bytes]:
        """The server-sent events ("data: {...}\\n\\n") for this event, if any. If rendering takes long, an
        iterator that renders them one by one, in any thread."""
        ...

    def end(self) -> bytes:
        """What follows the last event, before the stream's end (the usage chunk)."""
        ...


class Accumulator(Protocol):
    """Accumulates the same events for a whole body; pure."""

    def feed(self, event: Event) -> object: ...


A = TypeVar("A", bound=Accumulator)
Hold = Callable[[Callable[[], None]], AbstractContextManager[Callable[[], None]]]
"""Counts a body in a block. Takes a function that disconnects the client; yields one to call when a part was
read."""


class ResponseSender:
    """The target of `response_sender`: call one of the two `send_` methods, once."""

    def __init__(
        self, out: BodyWriter, client: WhileConnected, threads: Executor, hold: Hold, events: EventFormat
    ) -> None:
        self._out = out
        self._events = events
        self._client = client
        self._threads = threads
        self._hold = hold

    async def send_events(self, stream: EventStream, renderer: ChunkRenderer) -> None:
        """Send every event as it is produced, then the stream's end."""
        await self._out.finish(await self._pump(stream, renderer) + self._events.end)
        self._client.is_complete = True

    async def send_rendered(self, events: AsyncIterator[bytes]) -> None:
        """Send events that are rendered already, each at once, then the stream's end."""
        async for data in events:
            await self._out.write(data)
            await asyncio.sleep(0)  # many may be ready: other streams get their turn
        await self._out.finish(self._events.end)
        self._client.is_complete = True

    async def send_body(self, parts: Iterator[bytes]) -> None:
        """Send the whole body; each part must take at most a few milliseconds to render. A body of few parts
        has a content length; a larger one is rendered as fast as the client reads it."""
        first = list(islice(parts, INLINE_PARTS))
        if len(first) < INLINE_PARTS:
            await self._send_at_once(b"".join(first))
        else:
            await self._send_parts(chain(first, parts))
        self._client.is_complete = True

    async def _pump(self, stream: EventStream, renderer: ChunkRenderer) -> bytes:
        """Send the events; returns what remains to be sent."""
        out, get_nowait, feed, num_coalesced, ready = self._out, stream.get_nowait, renderer.feed, 0, b""
        event: Event | None = None
        try:
            while type(event) is not Done:
                event = get_nowait() if num_coalesced < _MAX_COALESCED else None
                if event is None:
                    if ready:
                        await out.write(ready)
                        ready = b""
                    if num_coalesced >= _MAX_COALESCED:
                        await asyncio.sleep(0)
                    num_coalesced = 0
                    event = await anext(stream)
                data = feed(event)
                if isinstance(data, bytes):
                    ready += data
                else:
                    async for part in render_off_loop(data, self._threads):
                        await out.write(ready + part)
                        ready = b""
                num_coalesced += 1
        except StopAsyncIteration:
            pass
        except (Exception, asyncio.CancelledError):
            if ready and out.has_started:
                await out.write(ready)
            raise
        return ready + renderer.end()

    async def _send_at_once(self, body: bytes) -> None:
        self._out.add_header((b"content-length", b"%d" % len(body)))
        start = 0
        while start + _WRITE_BYTES < len(body):
            await self._out.write(body[start : start + _WRITE_BYTES])
            start += _WRITE_BYTES
        await self._out.finish(body[start:])

    async def _send_parts(self, parts: Iterator[bytes]) -> None:
        with self._hold(self._client.abort) as has_read:
            async for part in render_off_loop(parts, self._threads):
                await self._out.write(part)
                has_read()
            await self._out.finish(b"")


@asynccontextmanager
async def response_sender(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    threads: Executor,
    keep_alive_s: float | None,
    headers: Mapping[str, str] = MappingProxyType({}),
    stall_s: float | None = None,
    hold: Hold | None = None,
    events: EventFormat = OPENAI_EVENTS,
) -> AsyncIterator[ResponseSender]:
    """A block that sends the response to a request whose body has been read.

    Nothing is sent before the first event, the whole body, or, with `keep_alive_s` (event streams only), the
    first keep-alive. An error until then propagates and becomes a proper HTTP status; a later error of an
    event stream becomes an error event. `events` is the stream's framing: every stream that has started ends
    as it says, and nothing follows. The block is cancelled when the client disconnects. A client that leaves
    bytes unread for `stall_s` is treated as disconnected, and so is one that reads a whole body too slowly:
    the server holds all of it.
    `hold` counts a large body until it is sent. What was opened in the block is closed when the request ends
    (`context.RequestContext`).
    """
    record = record_of(scope)
    if stall_s is None:
        stall_s = _WHOLE_STALL_S if keep_alive_s is None else _STREAM_STALL_S
    own = _WHOLE_HEADERS if keep_alive_s is None else _STREAM_HEADERS
    async with WhileConnected(receive) as client:
        out = BodyWriter(
            send,
            record,
            _encode({**own, **headers}),
            keep_alive_s=keep_alive_s,
            stall_s=stall_s,
            on_stall=client.abort,
            keep_alive=events.keep_alive,
        )
        try:
            yield ResponseSender(out, client, threads, hold or (lambda abort: nullcontext(_nothing)), events)
        except (Exception, asyncio.CancelledError) as exc:
            is_stream = keep_alive_s is not None
            if client.is_disconnected or out.has_ended or not out.has_started or not is_stream:
                raise
            record_failure(record, exc)
            await out.finish(events.error(exc, record.id) + events.end)
            client.is_complete = True
            if isinstance(exc, asyncio.CancelledError):
                raise
        finally:
            out.close()
    if client.is_disconnected:
        record.outcome = "cancelled"


def _nothing() -> None:
    """What is called for a body that nobody counts."""


async def collect(stream: EventStream, accumulator: A) -> A:
    """Feed all events of a stream to the accumulator, and return it."""
    feed, remaining = accumulator.feed, _MAX_COALESCED
    async for event in stream:
        feed(event)
        remaining -= 1
        if not remaining:
            await asyncio.sleep(0)
            remaining = _MAX_COALESCED
    return accumulator


def _encode(headers: Mapping[str, str]) -> list[Header]:
    return [(name.encode("ascii"), header_value(value)) for name, value in headers.items()]

"""The answer to a call of a model: server-sent events as they come, or one whole body.

One function goes from the request to its answer, inside `answering`: what it opens there may take as long as
a model takes to load, and its failures become what the client can still be told."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from itertools import chain, islice
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

from starlette.types import Receive, Scope, Send

from myna.core.events import Event
from myna.http.access_log import note_failure
from myna.http.connection import BodyWriter, WhileConnected
from myna.http.record import Header, header_value, record_of
from myna.http.rendering import INLINE_PARTS, rendered
from myna.wire.errors import error_event

DONE: Final = b"data: [DONE]\n\n"
_STREAM_HEADERS: Final = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_WHOLE_HEADERS: Final = {"content-type": "application/json"}
# Events that are already here go out together; after this many the other streams have their turn.
_MAX_COALESCED: Final = 64
# One write of a body whose client may not read it.
_WRITE_BYTES: Final = 65536


class ChunkRenderer(Protocol):
    """Events to server-sent events of one request; pure."""

    def feed(self, event: Event) -> bytes | Iterator[bytes]:
        """The whole events ("data: {...}\\n\\n") that this event becomes; may be none. Where that takes
        long, they come one by one, each rendered when it is asked for, in any thread."""
        ...

    def end(self) -> bytes:
        """What comes after the last event and before `[DONE]` (the usage chunk)."""
        ...


class Fold(Protocol):
    """Takes the same events in for a whole answer; pure."""

    def feed(self, event: Event) -> None: ...


F = TypeVar("F", bound=Fold)


class Lookahead:
    """Takes events that are already here without waiting, so that they can share one write.

    `take` runs `__anext__` by hand up to where it would wait; awaiting the object goes on from there.
    """

    def __init__(self, stream: AsyncIterator[Event]) -> None:
        self._stream = stream
        self._step: Generator[Any, Any, Event] | None = None
        self._waiting_on: object = None

    def take(self) -> Event | None:
        """The next event, or None if it must be awaited. Raises StopAsyncIteration at the end."""
        step = self._stream.__anext__().__await__()
        try:
            self._waiting_on = next(step)
        except StopIteration as done:
            event: Event = done.value
            return event
        self._step = step
        return None

    def __await__(self) -> Generator[Any, Any, Event]:
        step, waiting_on = self._step, self._waiting_on
        if step is None:
            raise RuntimeError("take() comes first")
        try:
            while True:
                try:
                    sent = yield waiting_on
                except BaseException as exc:
                    waiting_on = step.throw(exc)
                else:
                    waiting_on = step.send(sent)
        except StopIteration as done:
            event: Event = done.value
            return event
        finally:
            self._step = self._waiting_on = None

    def close(self) -> None:
        """Drop a step that was begun and not awaited."""
        if self._step is not None:
            self._step.close()
            self._step = None


class Answering:
    """What `answering` gives: one of the two `send_` methods is called, once."""

    def __init__(self, out: BodyWriter, client: WhileConnected, threads: Executor) -> None:
        self._out = out
        self._client = client
        self._threads = threads

    async def send_events(self, stream: AsyncIterator[Event], renderer: ChunkRenderer) -> None:
        """Every event as it comes, then `[DONE]`."""
        await self._out.finish(await self._pump(stream, renderer) + DONE)
        self._client.is_answered = True

    async def send_body(self, parts: Iterator[bytes]) -> None:
        """The whole body, of which each part takes a few milliseconds at most to render. One of few parts has
        a length; a larger one goes out while it is rendered, as fast as the client reads it."""
        first = list(islice(parts, INLINE_PARTS))
        if len(first) < INLINE_PARTS:
            await self._send_at_once(b"".join(first))
        else:
            await self._send_parts(chain(first, parts))
        self._client.is_answered = True

    async def _pump(self, stream: AsyncIterator[Event], renderer: ChunkRenderer) -> bytes:
        """Returns what is left to send."""
        out, feed, lookahead, num_ready, ready = self._out, renderer.feed, Lookahead(stream), 0, b""
        try:
            while True:
                event = lookahead.take()
                if event is None or num_ready >= _MAX_COALESCED:
                    if ready:
                        await out.write(ready)
                        ready, num_ready = b"", 0
                    if event is None:
                        event = await lookahead
                    else:
                        await asyncio.sleep(0)
                data = feed(event)
                if isinstance(data, bytes):
                    ready += data
                else:
                    async for part in rendered(data, self._threads):
                        await out.write(ready + part)
                        ready = b""
                num_ready += 1
        except StopAsyncIteration:
            return ready + renderer.end()
        except (Exception, asyncio.CancelledError):
            if ready and out.has_started:
                await out.write(ready)
            raise
        finally:
            lookahead.close()

    async def _send_at_once(self, body: bytes) -> None:
        self._out.add_header((b"content-length", b"%d" % len(body)))
        start = 0
        while start + _WRITE_BYTES < len(body):
            await self._out.write(body[start : start + _WRITE_BYTES])
            start += _WRITE_BYTES
        await self._out.finish(body[start:])

    async def _send_parts(self, parts: Iterator[bytes]) -> None:
        async for part in rendered(parts, self._threads):
            await self._out.write(part)
        await self._out.finish(b"")


@asynccontextmanager
async def answering(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    threads: Executor,
    keep_alive_s: float | None,
    headers: Mapping[str, str] = MappingProxyType({}),
    stall_s: float = 600.0,
) -> AsyncIterator[Answering]:
    """A block that sends the answer to a request whose body has been read.

    Nothing is sent before the first event, the whole body, or, with `keep_alive_s` (event streams alone), the
    first keep-alive, so a failure until then leaves the block as it is and gets a real HTTP status; a later
    one of an event stream becomes an error event. Every stream that began ends with `[DONE]`, and nothing
    after it. The block is cancelled when the client leaves; one that leaves bytes unread for `stall_s` counts
    as gone. What was opened in the block is closed at the end of the call (`call.Call`).
    """
    record = record_of(scope)
    own = _WHOLE_HEADERS if keep_alive_s is None else _STREAM_HEADERS
    async with WhileConnected(receive) as client:
        out = BodyWriter(
            send,
            record,
            _encode({**own, **headers}),
            keep_alive_s=keep_alive_s,
            stall_s=stall_s,
            on_stall=client.give_up,
        )
        try:
            yield Answering(out, client, threads)
        except (Exception, asyncio.CancelledError) as exc:
            is_stream = keep_alive_s is not None
            if client.has_left or out.has_ended or not out.has_started or not is_stream:
                raise
            note_failure(record, exc)
            await out.finish(error_event(exc, record.id) + DONE)
            client.is_answered = True
            if isinstance(exc, asyncio.CancelledError):
                raise
        finally:
            out.close()
    if client.has_left:
        record.outcome = "cancelled"


async def collect(stream: AsyncIterator[Event], fold: F) -> F:
    """The fold over the same events that a stream would have sent."""
    feed, left = fold.feed, _MAX_COALESCED
    async for event in stream:
        feed(event)
        left -= 1
        if not left:
            await asyncio.sleep(0)
            left = _MAX_COALESCED
    return fold


def _encode(headers: Mapping[str, str]) -> list[Header]:
    return [(name.encode("ascii"), header_value(value)) for name, value in headers.items()]

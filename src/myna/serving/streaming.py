"""The two endings of an event stream: server-sent events as they come, or one whole answer.

Both open it themselves, since that may take as long as a model takes to load, and stop when the client
leaves. Whatever was opened is closed at the end of the call (`call.Call`)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from starlette.types import Receive, Scope, Send

from myna.core.events import Event
from myna.serving.access import note_failure
from myna.serving.errors import error_event
from myna.serving.record import Header, RequestRecord, header_value, record_of

KEEP_ALIVE: Final = b": keep-alive\n\n"
DONE: Final = b"data: [DONE]\n\n"
# Events that are already here go out together; after this many the other streams have their turn.
_MAX_COALESCED: Final = 64


class ChunkRenderer(Protocol):
    """Events to server-sent events of one request; pure."""

    def feed(self, event: Event) -> bytes:
        """The whole events ("data: {...}\\n\\n") that this event becomes; may be none."""
        ...

    def end(self) -> bytes:
        """What comes after the last event and before `[DONE]` (the usage chunk)."""
        ...


class AnswerBuilder(Protocol):
    """A fold of the same events to the body of a whole answer; pure."""

    def feed(self, event: Event) -> None: ...

    def body(self) -> bytes: ...


T = TypeVar("T")

# Everything between a request that is well-formed and its first event: model, prompt, admission.
Opening = Callable[[], Awaitable[tuple[AsyncIterator[Event], T]]]


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


class WhileConnected:
    """Cancels its block when the client leaves, and swallows that cancellation alone."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.has_left = False
        self.is_answered = False

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
        self.give_up()

    def give_up(self) -> None:
        """End the block: nobody reads what it sends."""
        if not self.is_answered and not self.has_left:
            self.has_left = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watcher.cancel()
        if self.has_left and isinstance(exc, asyncio.CancelledError):
            return self._task.uncancel() == 0
        return False


class EventStreamAnswer:
    """An ASGI response of server-sent events.

    Nothing is sent before the first event or the first keep-alive, so a failure until then, of the opening
    too, is a real HTTP status; a later one is an error event. Every stream that began ends with `[DONE]`,
    and nothing after it. A client that leaves bytes unread for `stall_s` counts as gone.
    """

    def __init__(
        self,
        opening: Opening[ChunkRenderer],
        *,
        content_type: str = "text/event-stream; charset=utf-8",
        headers: Mapping[str, str] | None = None,
        keep_alive_s: float = 10.0,
        stall_s: float = 600.0,
    ) -> None:
        self._open = opening
        self._headers = _encode(
            {"content-type": content_type, "cache-control": "no-cache", **(headers or {})}
        )
        self._keep_alive_s = keep_alive_s
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        async with WhileConnected(receive) as client:
            out = _EventWriter(send, self._headers, record, self._keep_alive_s, self._stall_s, client.give_up)
            try:
                await out.finish(await self._pump(out) + DONE)
            except (Exception, asyncio.CancelledError) as exc:
                if client.has_left or out.has_ended or not out.has_started:
                    raise
                note_failure(record, exc)
                await out.finish(error_event(exc, record.id) + DONE)
                if isinstance(exc, asyncio.CancelledError):
                    raise
            finally:
                out.close()
            client.is_answered = True
        if client.has_left:
            record.outcome = "cancelled"

    async def _pump(self, out: "_EventWriter") -> bytes:
        stream, renderer = await self._open()
        feed, lookahead, num_ready, ready = renderer.feed, Lookahead(stream), 0, b""
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
                ready += feed(event)
                num_ready += 1
        except StopAsyncIteration:
            return ready + renderer.end()
        except (Exception, asyncio.CancelledError):
            if ready and out.has_started:
                await out.write(ready)
            raise
        finally:
            lookahead.close()


class _EventWriter:
    """Sends a stream's bytes, its headers before the first of them, and a comment when it was silent long.

    One timer a stream, not one an event: it looks how long the silence was and sleeps the rest.
    """

    def __init__(
        self,
        send: Send,
        headers: list[Header],
        record: RequestRecord,
        keep_alive_s: float,
        stall_s: float,
        on_stall: Callable[[], None],
    ) -> None:
        self._send = send
        self._headers = headers
        self._record = record
        self._keep_alive_s = keep_alive_s
        self._stall_s = stall_s
        self._on_stall = on_stall
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()
        self._timer = self._loop.call_later(keep_alive_s, self._on_timer)
        self._beat: asyncio.Task[None] | None = None
        self._is_sending = False
        self.has_started = False
        self.has_ended = False

    async def write(self, data: bytes) -> None:
        await self._write(data, more=True)

    async def finish(self, data: bytes) -> None:
        """The last bytes; nothing follows them."""
        await self._write(data, more=False)
        self.has_ended = True

    def close(self) -> None:
        self._timer.cancel()
        if self._beat is not None:
            self._beat.cancel()

    async def _write(self, data: bytes, *, more: bool) -> None:
        if self._beat is not None:
            await asyncio.wait((self._beat,))
        self._last_write = self._loop.time()
        self._is_sending = True
        try:
            if not self.has_started:
                await self._start()
            self._record.before_frame()
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        finally:
            self._is_sending = False

    async def _start(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
        self.has_started = True

    def _on_timer(self) -> None:
        silence_s = self._loop.time() - self._last_write
        if self._is_sending or self._beat is not None:
            if silence_s >= self._stall_s:
                self._on_stall()
                return
            silence_s = 0.0
        elif silence_s >= self._keep_alive_s:
            self._last_write, silence_s = self._loop.time(), 0.0
            self._beat = self._loop.create_task(self._send_comment())
            self._beat.add_done_callback(self._on_beaten)
        self._timer = self._loop.call_later(self._keep_alive_s - silence_s, self._on_timer)

    def _on_beaten(self, beat: asyncio.Task[None]) -> None:
        self._beat = None
        if not beat.cancelled() and beat.exception() is not None:
            self._on_stall()  # the connection takes nothing more

    async def _send_comment(self) -> None:
        if not self.has_started:
            await self._start()
        await self._send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})


class WholeAnswer:
    """An ASGI response with all of a generation in one body."""

    def __init__(
        self,
        opening: Opening[AnswerBuilder],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._open = opening
        self._headers = {"content-type": "application/json", **(headers or {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with WhileConnected(receive) as client:
            body = await collect(*await self._open())
            client.is_answered = True
            record_of(scope).before_frame()
            headers = _encode({**self._headers, "content-length": str(len(body))})
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})
        if client.has_left:
            record_of(scope).outcome = "cancelled"


async def collect(stream: AsyncIterator[Event], builder: AnswerBuilder) -> bytes:
    """The fold over the same events that a stream would have sent."""
    async for event in stream:
        builder.feed(event)
    return builder.body()


def _encode(headers: Mapping[str, str]) -> list[Header]:
    return [(name.encode("ascii"), header_value(value)) for name, value in headers.items()]

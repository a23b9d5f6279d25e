"""The two endings of a stream: bytes, order, failures at every point, and clients that leave."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import pytest
from starlette.types import Message, Scope, Send
from tests.http.scripted import ScriptedStream, Step, words
from tests.http.words_endpoint import Builder, Words

from myna.core.errors import EngineDead, GenerationFailed
from myna.core.events import Event, TextDelta
from myna.http.event_format import DONE, KEEP_ALIVE
from myna.http.record import RequestRecord
from myna.http.streaming import ChunkRenderer, collect, response_sender

# What an endpoint does before it has its events.
Opening = Callable[[], Awaitable[ScriptedStream]]
THREADS = ThreadPoolExecutor(1)


def now(stream: ScriptedStream) -> Opening:
    """An opening that takes no time."""

    async def opened() -> ScriptedStream:
        return stream

    return opened


class Wire:
    """The client's end of one ASGI response."""

    def __init__(self) -> None:
        self.record = RequestRecord()
        self.scope: Scope = {"type": "http", "path": "/v1/words"}
        self.record.attach(self.scope)
        self.sent: list[Message] = []
        self.got = asyncio.Event()
        self.remaining = asyncio.Event()

    async def receive(self) -> Message:
        await self.remaining.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.got.set()

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    @property
    def pieces(self) -> list[bytes]:
        return [message["body"] for message in self.sent[1:]]

    @property
    def is_complete(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False

    async def stream(self, steps: Sequence[Step], keep_alive_s: float = 10.0) -> ScriptedStream:
        stream = ScriptedStream(steps)
        await self.events(now(stream), keep_alive_s=keep_alive_s)
        return stream

    async def events(
        self,
        opening: Opening,
        renderer: ChunkRenderer | None = None,
        *,
        keep_alive_s: float = 10.0,
        stall_s: float = 600.0,
        send: Send | None = None,
    ) -> None:
        """An endpoint's answer as a stream."""
        async with response_sender(
            self.scope,
            self.receive,
            send or self.send,
            threads=THREADS,
            keep_alive_s=keep_alive_s,
            stall_s=stall_s,
        ) as answer:
            await answer.send_events(await opening(), renderer or Words())

    async def whole(self, opening: Opening, *, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        """The same as a whole answer."""
        async with response_sender(
            self.scope, self.receive, self.send, threads=THREADS, keep_alive_s=None, headers=headers
        ) as answer:
            builder = await collect(await opening(), Builder())
            await answer.send_body(builder.parts())

    async def parts(
        self, parts: Iterator[bytes], *, stall_s: float = 600.0, send: Send | None = None
    ) -> None:
        """A whole answer of these parts."""
        async with response_sender(
            self.scope,
            self.receive,
            send or self.send,
            threads=THREADS,
            keep_alive_s=None,
            stall_s=stall_s,
        ) as answer:
            await answer.send_body(parts)


async def test_events_that_are_here_go_out_together_and_done_is_last() -> None:
    wire = Wire()
    await wire.stream(words("a", "b", "c"))
    assert wire.status == 200
    assert wire.pieces == [b"data: 0:a\n\ndata: 0:b\n\ndata: 0:c\n\ndata: end\n\ndata: [DONE]\n\n"]
    assert wire.is_complete


async def test_no_event_has_characters_that_clients_take_for_line_ends() -> None:
    wire = Wire()
    await wire.stream(words("a\u2028b", "\u2029\u0085é😀"))
    body = b"".join(wire.pieces).decode()
    assert body.splitlines() == body.split("\n")[:-1]
    assert body.startswith("data: 0:a\\u2028b\n\ndata: 0:\\u2029\\u0085é😀\n\ndata: ")


async def test_a_whole_body_keeps_its_characters() -> None:
    wire = Wire()
    await wire.whole(now(ScriptedStream(words("a\u2028b"))))
    assert "\u2028".encode() in b"".join(wire.pieces)


async def test_an_event_is_not_held_for_the_next() -> None:
    wire, more = Wire(), asyncio.Event()
    steps = words("a", "b")
    task = asyncio.create_task(wire.stream([*steps[:2], more, *steps[2:]]))
    await wire.got.wait()
    await asyncio.sleep(0)
    assert wire.pieces == [b"data: 0:a\n\n"]
    more.set()
    await task
    assert wire.pieces[1:] == [b"data: 0:b\n\ndata: end\n\n" + DONE]


async def test_a_long_backlog_lets_other_streams_in() -> None:
    wire = Wire()
    await wire.stream(words(*["x"] * 200))
    assert len(wire.pieces) == 4
    assert b"".join(wire.pieces).count(b"data: 0:x") == 200


async def test_a_failure_before_the_first_event_is_not_a_stream() -> None:
    wire = Wire()
    with pytest.raises(EngineDead):
        await wire.stream([EngineDead("gone")])
    assert wire.sent == []


class SlowOpening:
    """A model that loads until the test says."""

    def __init__(self, *steps: Step, error: Exception | None = None) -> None:
        self.is_there = asyncio.Event()
        self._steps = steps
        self._error = error

    async def stream(self) -> ScriptedStream:
        await self.is_there.wait()
        if self._error is not None:
            raise self._error
        return ScriptedStream(self._steps)


async def test_keep_alives_flow_while_a_model_loads() -> None:
    wire, loading = Wire(), SlowOpening(*words("a"))
    task = asyncio.create_task(wire.events(loading.stream, keep_alive_s=0.001))
    await wire.got.wait()
    assert wire.status == 200
    assert wire.pieces[0] == KEEP_ALIVE
    loading.is_there.set()
    await task
    assert b"".join(wire.pieces).replace(KEEP_ALIVE, b"") == b"data: 0:a\n\ndata: end\n\n" + DONE


async def test_a_load_that_fails_is_a_status_or_after_a_keep_alive_an_error_event() -> None:
    wire, loading = Wire(), SlowOpening(error=EngineDead("gone"))
    loading.is_there.set()
    with pytest.raises(EngineDead):
        await wire.events(loading.stream)
    assert wire.sent == []
    loading.is_there.clear()
    task = asyncio.create_task(wire.events(loading.stream, keep_alive_s=0.001))
    await wire.got.wait()
    loading.is_there.set()
    await task
    assert wire.pieces[-1].startswith(b'data: {"error"')
    assert wire.pieces[-1].endswith(DONE)


async def test_a_client_that_leaves_while_a_model_loads_waits_for_it_no_more() -> None:
    loading = SlowOpening()
    for ending in (Wire.events, Wire.whole):
        wire = Wire()
        task = asyncio.create_task(ending(wire, loading.stream))
        await asyncio.sleep(0)
        wire.remaining.set()
        await task
        assert wire.sent == []
        assert wire.record.outcome == "cancelled"


async def test_a_failure_midway_is_an_error_event_then_done() -> None:
    wire, more = Wire(), asyncio.Event()
    task = asyncio.create_task(wire.stream([*words("a")[:2], more, GenerationFailed("nan")]))
    await wire.got.wait()
    more.set()
    await task
    assert wire.pieces[0] == b"data: 0:a\n\n"
    assert wire.pieces[1].startswith(b'data: {"error":{"message":"The server had an error')
    assert wire.pieces[1].endswith(b"}}\n\n" + DONE)
    assert len(wire.pieces) == 2
    assert wire.is_complete
    assert wire.record.outcome == "GenerationFailed"


async def test_what_was_ready_goes_out_before_the_error() -> None:
    wire, more = Wire(), asyncio.Event()
    steps = [*words("a")[:2], more, TextDelta(0, "b", 1), GenerationFailed("nan")]
    task = asyncio.create_task(wire.stream(steps))
    await wire.got.wait()
    more.set()
    await task
    assert b"data: 0:b\n\n" in b"".join(wire.pieces)
    assert wire.pieces[-1].endswith(DONE)


async def test_a_bug_in_the_renderer_ends_the_stream_with_an_error() -> None:
    class Broken(Words):
        def end(self) -> bytes:
            raise ZeroDivisionError

    wire, more = Wire(), asyncio.Event()
    steps = words("a")
    stream = ScriptedStream([*steps[:2], more, *steps[2:]])
    task = asyncio.create_task(wire.events(now(stream), Broken()))
    await wire.got.wait()
    more.set()
    await task
    assert b'"type":"server_error"' in wire.pieces[-1]
    assert wire.is_complete


async def test_silence_is_filled_with_comments_also_before_the_first_event() -> None:
    wire, more = Wire(), asyncio.Event()
    task = asyncio.create_task(wire.stream([more, *words("a")], keep_alive_s=0.001))
    await wire.got.wait()
    more.set()
    await task
    assert wire.status == 200
    assert wire.pieces[0] == KEEP_ALIVE
    assert wire.pieces[-1] == b"data: 0:a\n\ndata: end\n\n" + DONE
    assert b"".join(wire.pieces).replace(KEEP_ALIVE, b"") == wire.pieces[-1]


async def test_a_failure_after_a_keep_alive_is_an_error_event() -> None:
    wire, more = Wire(), asyncio.Event()
    task = asyncio.create_task(wire.stream([more, EngineDead("gone")], keep_alive_s=0.001))
    await wire.got.wait()
    more.set()
    await task
    assert wire.pieces[-1].startswith(b'data: {"error"')
    assert wire.pieces[-1].endswith(DONE)


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_client_that_leaves_ends_the_stream_quietly(has_begun: bool) -> None:
    wire, never = Wire(), asyncio.Event()
    task = asyncio.create_task(wire.stream([*(words("a")[:2] if has_begun else []), never]))
    await (wire.got.wait() if has_begun else asyncio.sleep(0))
    wire.remaining.set()
    stream = await task
    assert not stream.is_finished
    assert wire.record.outcome == "cancelled"
    assert wire.pieces == ([b"data: 0:a\n\n"] if has_begun else [])


async def test_a_client_that_leaves_during_a_whole_answer_ends_it() -> None:
    wire, never = Wire(), asyncio.Event()
    task = asyncio.create_task(wire.whole(now(ScriptedStream([never]))))
    await asyncio.sleep(0)
    wire.remaining.set()
    await task
    assert wire.sent == []
    assert wire.record.outcome == "cancelled"


async def test_a_disconnect_by_the_server_reaches_the_client_and_the_application() -> None:
    wire, never = Wire(), asyncio.Event()
    task = asyncio.create_task(wire.stream([*words("a")[:2], never]))
    await wire.got.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert wire.pieces[-1].startswith(b'data: {"error"')
    assert wire.pieces[-1].endswith(DONE)


async def test_a_whole_answer_is_the_fold_of_the_same_events() -> None:
    wire = Wire()
    await wire.whole(now(ScriptedStream(words("a", "b"))), headers={"openai-model": "ti\n你"})
    assert wire.pieces == [b"0:a0:b"]
    headers = dict(wire.sent[0]["headers"])
    assert headers == {
        b"content-type": b"application/json",
        b"openai-model": b"ti??",
        b"content-length": b"6",
    }


async def test_a_long_body_goes_out_in_writes_that_wait_for_the_client() -> None:
    wire, body = Wire(), bytes(range(256)) * 1000
    await wire.parts(iter([body[:9], body[9:]]))
    assert b"".join(wire.pieces) == body
    assert max(map(len, wire.pieces)) <= 65536
    assert (b"content-length", b"256000") in wire.sent[0]["headers"]
    assert wire.is_complete


async def test_a_body_of_many_parts_is_rendered_as_its_client_reads_it() -> None:
    wire, reads, rendered = Wire(), asyncio.Semaphore(0), list[int]()

    def parts() -> Iterator[bytes]:
        for number in range(20):
            rendered.append(number)
            yield b"%d," % number

    async def slow(message: Message) -> None:
        await reads.acquire()
        await wire.send(message)

    task = asyncio.create_task(wire.parts(parts(), send=slow))
    for _ in range(8):
        reads.release()
    while len(wire.sent) < 8:
        await wire.got.wait()
        await asyncio.sleep(0)
    assert len(rendered) <= 9
    for _ in range(20):
        reads.release()
    await task
    assert b"".join(wire.pieces) == b"".join(b"%d," % number for number in range(20))
    assert b"content-length" not in dict(wire.sent[0]["headers"])
    assert wire.is_complete


async def test_an_event_that_takes_long_is_rendered_piece_by_piece_and_nothing_overtakes_it() -> None:
    class Large:
        def __init__(self) -> None:
            self._words = Words()

        def feed(self, event: Event) -> bytes | Iterator[bytes]:
            text = self._words.feed(event)
            return iter([text[:1]] * 9 + [text]) if b"b" in text else text

        def end(self) -> bytes:
            return self._words.end()

    wire = Wire()
    await wire.events(now(ScriptedStream(words("a", "b", "c"))), Large())
    large = b"d" * 9 + b"data: 0:b\n\n"
    expected = b"data: 0:a\n\n" + large + b"data: 0:c\n\ndata: end\n\n" + DONE
    assert b"".join(wire.pieces) == expected


async def test_a_client_that_reads_nothing_any_more_counts_as_gone() -> None:
    wire = Wire()

    async def stuck(message: Message) -> None:
        await wire.send(message)
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    await wire.events(now(ScriptedStream(words("a", "b"))), keep_alive_s=0.001, stall_s=0.0, send=stuck)
    assert wire.record.outcome == "cancelled"


async def test_a_client_that_reads_no_whole_answer_counts_as_gone_too() -> None:
    wire = Wire()

    async def stuck(message: Message) -> None:
        await wire.send(message)
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    await wire.parts(iter([b"x" * 100_000]), stall_s=0.001, send=stuck)
    assert wire.record.outcome == "cancelled"
    assert len(wire.pieces) == 1


async def test_a_client_that_reads_a_whole_answer_far_too_slowly_counts_as_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each part is read before the stall limit, but the rest would be held for hours. The loop's clock goes
    on by itself, so that a pause of the machine is no pause of the client."""
    wire, loop = Wire(), asyncio.get_running_loop()
    now_s = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now_s)

    async def slow(message: Message) -> None:
        nonlocal now_s
        await wire.send(message)
        if message["type"] == "http.response.body":
            now_s += 20.0
            for _ in range(2):  # timers that are due run in the second turn
                await asyncio.sleep(0)

    parts = (b"x" for _ in range(1000))
    await wire.parts(parts, stall_s=60.0, send=slow)
    assert wire.record.outcome == "cancelled"
    assert 3 <= len(wire.pieces) <= 6


async def test_a_connection_that_breaks_at_a_keep_alive_ends_the_stream() -> None:
    wire, stream = Wire(), ScriptedStream([asyncio.Event()])

    async def broken(message: Message) -> None:
        raise OSError("reset")

    await wire.events(now(stream), keep_alive_s=0.001, send=broken)
    assert wire.record.outcome == "cancelled"

"""What `test_streams` asks of generators, of a relay: it yields an answer's bytes instead of its tokens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.backends.raw_upstream import (
    DONE,
    EVENT,
    JSON_HEAD,
    LAST,
    STREAM_HEAD,
    USAGE,
    WHOLE,
    Behave,
    RawUpstream,
    head,
    listening,
    section,
    send,
    send_and_stall,
)

from myna.backends.remote.backend import RemoteBackend, RemoteModel
from myna.core.errors import UpstreamRefused
from myna.core.events import ChoiceDone, Done, Event, PromptDone, WireChunk
from myna.core.relay import Relay, RelayRequest

STREAM = RelayRequest("chat/completions", {"model": "far-1", "stream": True}, True, "req_1")
WHOLE_REQUEST = RelayRequest("chat/completions", {"model": "far-1"}, False, "req_2")


@asynccontextmanager
async def relaying(*behaviours: Behave) -> AsyncIterator[tuple[Relay, RemoteBackend, RawUpstream]]:
    async with listening(RawUpstream(list(behaviours))) as upstream:
        backend = RemoteBackend(section(big={"url": upstream.url, "models": ["far-1"]}))
        (model,) = backend.announced()
        assert isinstance(model, RemoteModel)
        loaded = await (await backend.prepare(model)).load(0)
        assert loaded.relay is not None
        try:
            yield loaded.relay, backend, upstream
        finally:
            await loaded.relay.aclose()
            await loaded.relay.aclose()
            await backend.aclose()
            await backend.aclose()


@pytest.mark.parametrize("is_stream", [True, False])
async def test_the_order_of_events_ends_with_one_done(is_stream: bool) -> None:
    behave = send(STREAM_HEAD, EVENT, LAST, USAGE, DONE) if is_stream else send(JSON_HEAD, WHOLE)
    async with relaying(behave) as (relay, _, _):
        stream = await relay.open(STREAM if is_stream else WHOLE_REQUEST)
        events: list[Event] = [event async for event in stream]
        await stream.aclose()
        assert [event async for event in stream] == []
    kinds = list(dict.fromkeys(type(event) for event in events))
    assert kinds == [WireChunk, PromptDone, ChoiceDone, Done]
    assert sum(isinstance(event, Done) for event in events) == 1


async def test_a_refusal_comes_before_the_first_event() -> None:
    async with relaying(send(head(400, "application/json"), b"{}")) as (relay, backend, _):
        with pytest.raises(UpstreamRefused):
            await relay.open(STREAM)
        assert backend.balancer.upstreams[0].num_running == 0


async def test_a_stream_may_be_closed_unread_and_again() -> None:
    async with relaying(send_and_stall(STREAM_HEAD, EVENT)) as (relay, backend, upstream):
        stream = await relay.open(STREAM)
        await stream.aclose()
        await stream.aclose()
        assert [event async for event in stream] == []
        await upstream.is_left.wait()
        assert backend.balancer.upstreams[0].num_running == 0


async def test_a_stream_may_be_closed_halfway_and_ends_who_waits_for_it() -> None:
    async with relaying(send_and_stall(STREAM_HEAD, EVENT)) as (relay, _, upstream):
        stream = await relay.open(STREAM)
        assert await anext(aiter(stream)) == WireChunk(EVENT, 1)

        async def read_on() -> list[Event]:
            return [event async for event in stream]

        reading = asyncio.create_task(read_on())
        await asyncio.sleep(0)
        await stream.aclose()
        assert await reading == []
        await upstream.is_left.wait()


async def test_a_slow_reader_gets_the_whole_answer_and_is_read_ahead_for_a_bounded_way() -> None:
    padded = EVENT.replace(b"bird", b"x" * 60_000)
    async with relaying(send(STREAM_HEAD, *[padded] * 100, LAST, USAGE, DONE)) as (relay, _, upstream):
        stream = await relay.open(STREAM)
        chunks = [await anext(aiter(stream))]
        assert not upstream.is_left.is_set()
        chunks += [event async for event in stream]
        await stream.aclose()
    data = b"".join([chunk.data for chunk in chunks if isinstance(chunk, WireChunk)])
    assert data == padded * 100 + LAST

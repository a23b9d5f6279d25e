"""Streams of messages while their prompt is read, and when they fail, over a real connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tests.api.messages.wire import USER, accumulated, events_of
from tests.api.stand_in import BytePrompting
from tests.http.live import Connection, Live, request_bytes, running
from tests.http.scripted import ScriptedGenerator, Step, loading, local, looking_at, services, words

from myna.catalog.pool import ModelPool
from myna.core.errors import Overloaded
from myna.http.event_format import KEEP_ALIVE

BODY = {"model": "tiny", "max_tokens": 9, "messages": [USER], "stream": True}


@asynccontextmanager
async def streaming(*steps: Step) -> AsyncIterator[Connection]:
    """A connection with a stream of these steps, whose head was read."""
    load = loading(ScriptedGenerator([steps]), BytePrompting())
    pool = ModelPool(looking_at([local("tiny")], []), load, delete_files=lambda file: None)
    parts = replace(services(pool), keep_alive_s=0.01)
    async with running(parts, families=("myna.api.messages.routes",)) as live:
        connection = await _asked(live)
        assert (await connection.head())[0] == 200
        yield connection
        await connection.close()


async def _asked(live: Live) -> Connection:
    return await live.send(request_bytes("POST", "/v1/messages", json.dumps(BODY).encode()))


async def _accepted(connection: Connection) -> str:
    """The first events, after comments from before the request was accepted."""
    while (piece := await connection.chunk()) == KEEP_ALIVE:
        pass
    return piece.decode()


async def _rest(connection: Connection) -> str:
    text = b""
    while piece := await connection.chunk():
        text += piece
    return text.decode()


async def test_while_the_prompt_is_read_the_message_starts_and_pings_follow() -> None:
    gate = asyncio.Event()
    async with streaming(gate, *words("a")) as connection:
        first, second = await _accepted(connection), (await connection.chunk()).decode()
        gate.set()
        rest = await _rest(connection)
    assert [event["type"] for event in events_of(first)] == ["message_start", "ping"]
    assert [event["type"] for event in events_of(second)] == ["ping"]
    message = accumulated(events_of(first + second + rest))
    assert message["content"] == [{"type": "text", "text": "a"}]
    assert message["usage"]["cache_read_input_tokens"] == 1


async def test_an_error_in_a_stream_is_its_last_event() -> None:
    gate = asyncio.Event()
    steps: list[Any] = [gate, *words("a")[:2], Overloaded("full")]
    async with streaming(*steps) as connection:
        first = await _accepted(connection)
        gate.set()
        *_, last = events_of(first + await _rest(connection))
    assert last["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert last["request_id"].startswith("req_")

"""A request for a model that is not loaded: what its client sees until it is, on the real endpoints."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from tests.api.stand_in import BytePrompting
from tests.http.live import Connection, Live, request_bytes, running
from tests.http.scripted import ScriptedGenerator, local, looking_at, services, words

from myna.catalog.pool import ModelPool
from myna.core.backend import Candidate, LoadedModel, ModelSize, ModelSpec
from myna.core.errors import ModelLoadFailed
from myna.http.event_format import DONE, KEEP_ALIVE

FAMILIES = ("myna.api.chat.routes", "myna.api.completions.routes")
BODIES: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]},
    "/v1/completions": {"model": "tiny", "prompt": "hi"},
}


@dataclass
class SlowModel:
    """A model whose load ends when the test says, well or not."""

    is_there: asyncio.Event = field(default_factory=asyncio.Event)
    is_broken: bool = False
    size: ModelSize = field(default_factory=lambda: ModelSize(0, 0, 8192))
    num_loads: int = 0
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def prepare(self, model: ModelSpec) -> Candidate:
        return self

    async def load(self, kv_bytes: int) -> LoadedModel:
        self.num_loads += 1
        self.is_asked.set()
        await self.is_there.wait()
        if self.is_broken:
            raise ModelLoadFailed("The model 'tiny' is broken.")
        generator = ScriptedGenerator([words("caw") for _ in range(9)])
        return LoadedModel(generator, BytePrompting())


@asynccontextmanager
async def serving(model: SlowModel, keep_alive_s: float = 10.0) -> AsyncIterator[Live]:
    pool = ModelPool(looking_at([local("tiny")], []), model.prepare, delete_files=lambda file: None)
    parts = replace(services(pool), keep_alive_s=keep_alive_s)
    async with running(parts, families=FAMILIES) as live:
        yield live


async def ask(live: Live, path: str, *, stream: bool) -> Connection:
    return await live.send(
        request_bytes("POST", path, json.dumps({**BODIES[path], "stream": stream}).encode())
    )


@pytest.mark.parametrize("path", list(BODIES))
async def test_a_stream_is_kept_alive_until_its_model_is_there(path: str) -> None:
    model = SlowModel()
    async with serving(model, keep_alive_s=0.01) as live:
        first, second = await ask(live, path, stream=True), await ask(live, path, stream=True)
        for connection in (first, second):
            assert (await connection.head())[0] == 200
            assert await connection.chunk() == KEEP_ALIVE
        model.is_there.set()
        for connection in (first, second):
            said = b""
            while piece := await connection.chunk():
                said += piece
            assert b"caw" in said
            assert said.endswith(DONE)
            await connection.close()
    assert model.num_loads == 1


@pytest.mark.parametrize("path", list(BODIES))
async def test_a_whole_answer_waits_and_is_whole(path: str) -> None:
    model = SlowModel()
    async with serving(model, keep_alive_s=0.01) as live:
        connection = await ask(live, path, stream=False)
        await model.is_asked.wait()
        model.is_there.set()
        reply = await connection.reply()
        assert reply.status == 200
        assert b"caw" in reply.body


@pytest.mark.parametrize("path", list(BODIES))
@pytest.mark.parametrize("stream", [True, False])
async def test_a_load_that_fails_before_a_byte_is_sent_is_a_status(path: str, stream: bool) -> None:
    model = SlowModel(is_broken=True)
    model.is_there.set()
    async with serving(model) as live:
        reply = await (await ask(live, path, stream=stream)).reply()
        assert reply.status == 503
        assert json.loads(reply.body)["error"]["type"] == "server_error"
        assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", list(BODIES))
async def test_a_load_that_fails_later_is_an_event(path: str) -> None:
    model = SlowModel(is_broken=True)
    async with serving(model, keep_alive_s=0.01) as live:
        connection = await ask(live, path, stream=True)
        assert (await connection.head())[0] == 200
        assert await connection.chunk() == KEEP_ALIVE
        model.is_there.set()
        said = b""
        while piece := await connection.chunk():
            said += piece
        assert b'data: {"error":{"message":"The model' in said
        assert said.endswith(DONE)
        await connection.close()


@pytest.mark.parametrize("path", list(BODIES))
async def test_a_wrong_request_is_rejected_at_once_and_loads_nothing(path: str) -> None:
    model = SlowModel()
    async with serving(model) as live:
        body = json.dumps({**BODIES[path], "n": -1, "stream": True}).encode()
        assert (await live.ask("POST", path, body)).status == 400
    assert model.num_loads == 0

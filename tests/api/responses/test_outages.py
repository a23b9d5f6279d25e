"""The database is away when a response ends: the end is stored later, or the response has failed."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.api.stand_in import Model, error_of, serving
from tests.http.scripted import Step, words

from myna.core.errors import DatabaseError, DatabaseUnavailable
from myna.core.stored_responses import BackgroundStore, ConversationStore, StoredResponse
from myna.stores.memory_stores import MemoryStores
from myna.stores.responses_memory import MemoryBackground, MemoryConversational, MemoryConversations
from myna.stores.store_writer import WriterLimits

Fault = Callable[[], None]


class _Background(MemoryBackground):
    def __init__(self, shared: MemoryConversational, fault: Fault) -> None:
        super().__init__(shared)
        self._fault = fault

    def finish(self, response: StoredResponse) -> bool:
        self._fault()
        return super().finish(response)


class _Conversations(MemoryConversations):
    def __init__(self, shared: MemoryConversational, fault: Fault) -> None:
        super().__init__(shared)
        self._fault = fault

    def unlock(self, conversation_id: str, owner: str) -> None:
        self._fault()
        super().unlock(conversation_id, owner)


class _Stores(MemoryStores):
    """Stores that can't store an end while there is an `error`; `is_tried` is set by each attempt."""

    def __init__(self) -> None:
        super().__init__("memory:")
        self.error: Exception | None = DatabaseUnavailable("away")
        self.is_tried = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def _fail(self) -> None:
        self._loop.call_soon_threadsafe(self.is_tried.set)
        if self.error is not None:
            raise self.error

    def background(self) -> BackgroundStore:
        return _Background(self._conversational, self._fail)

    def conversations(self) -> ConversationStore:
        return _Conversations(self._conversational, self._fail)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_END_S", "_FIRST_RETRY_S", "_MAX_RETRY_S"):
        monkeypatch.setattr(f"myna.request.background.{name}", 0.001)


NO_ROOM = WriterLimits(max_rows=0)


async def _started(model: Model, stores: _Stores, **body: Any) -> str:
    """A background response that has been generated, and whose end can't be stored."""
    started = await model.ask("responses", input="Hello", background=True, **body)
    await stores.is_tried.wait()
    return str(started.json()["id"])


async def _ended(model: Model, response_id: str) -> dict[str, Any]:
    run = model.services.background_runs.get(response_id)
    if run is not None and run.task is not None:
        await asyncio.wait([run.task])
    found: dict[str, Any] = (await model.client.get(f"/v1/responses/{response_id}")).json()
    return found


async def test_the_end_is_stored_when_the_database_is_back() -> None:
    stores = _Stores()
    async with serving(words("Hi"), stores=stores, writer_limits=NO_ROOM) as model:
        response_id = await _started(model, stores)
        path = f"/v1/responses/{response_id}"
        assert (await model.client.get(path)).json()["status"] == "in_progress"
        stores.error = None
        done = await _ended(model, response_id)
    assert (done["status"], done["output"][0]["content"][0]["text"]) == ("completed", "Hi")


async def test_a_stream_ends_meanwhile_and_shows_the_same_afterwards() -> None:
    stores = _Stores()
    async with serving(words("Hi"), stores=stores, writer_limits=NO_ROOM) as model:
        live = (await model.ask("responses", input="Hello", background=True, stream=True)).text
        (response_id,) = model.services.background_runs._runs
        stores.error = None
        await _ended(model, response_id)
        late = await model.client.get(f"/v1/responses/{response_id}?stream=true")
    assert '"type":"response.completed"' in live
    assert late.text == live


async def test_a_failure_is_stored_when_the_database_is_back() -> None:
    stores = _Stores()
    script = [*words("Hi")[:-2], RuntimeError("a fault")]
    async with serving(script, stores=stores, writer_limits=NO_ROOM) as model:
        response_id = await _started(model, stores)
        stores.error = None
        assert (await _ended(model, response_id))["status"] == "failed"


async def test_what_can_never_be_stored_has_failed() -> None:
    stores = _Stores()
    stores.error = DatabaseError("the row is not accepted")
    async with serving(words("Hi"), stores=stores) as model:
        response_id = await _started(model, stores)
        run = model.services.background_runs.get(response_id)
        if run is not None and run.task is not None:
            await asyncio.wait([run.task])
        stores.error = None
        found = await _ended(model, response_id)
    assert (found["status"], found["error"]["code"]) == ("failed", "server_error")


async def test_a_cancellation_while_the_end_waits_is_final() -> None:
    stores = _Stores()
    async with serving(words("Hi"), stores=stores) as model:
        response_id = await _started(model, stores)
        stores.responses().delete("default", response_id)
        stores.error = None
        assert (await _ended(model, response_id))["error"]["message"].endswith("not found.")


async def test_the_end_of_the_server_tries_again() -> None:
    stores = _Stores()
    async with serving(words("Hi"), stores=stores) as model:
        response_id = await _started(model, stores)
        stores.error = None
        await model.services.background_runs.aclose()
        found = (await model.client.get(f"/v1/responses/{response_id}")).json()
    assert found["status"] == "completed"


async def test_a_conversation_is_unlocked_when_the_database_is_back() -> None:
    stores, limits = _Stores(), WriterLimits(max_rows=0, first_retry_s=0.001)
    scripts: list[Sequence[Step]] = [[RuntimeError("a fault")], words("Hi")]
    async with serving(*scripts, stores=stores, writer_limits=limits) as model:
        conversation = (await model.client.post("/v1/conversations")).json()["id"]
        failed = await model.ask("responses", input="One", conversation=conversation, store=False)
        assert failed.status_code == 500
        refused = await model.ask("responses", input="Two", conversation=conversation)
        assert error_of(refused)["code"] == "conversation_locked"
        stores.error = None
        await model.services.store_writer.aclose()
        reply = await model.ask("responses", input="Two", conversation=conversation, store=False)
    assert reply.status_code == 200, reply.text

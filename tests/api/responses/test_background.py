"""Background responses: answered at once, generated without their client, polled, cancelled and followed."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from tests.api.responses.reading import events_of
from tests.api.stand_in import Model, error_of, serving
from tests.http.scripted import Step, words
from tests.stores.response_rows import response

from myna.core.events import PromptDone, TextDelta
from myna.core.stored_responses import BackgroundStore, EventBatch
from myna.request.background import MAX_FOLLOWED_PER_KEY, MAX_PER_KEY, BackgroundRuns, EventLog
from myna.stores.database_threads import DatabaseThreads
from myna.stores.memory_stores import MemoryStores
from myna.stores.responses_memory import MemoryBackground, MemoryConversational, MemoryResponses
from myna.stores.store_quota import ProjectQuota
from myna.stores.store_writer import WriterLimits


def _held(*texts: str) -> tuple[list[Step], asyncio.Event]:
    """Words that are followed by the end when the event is set."""
    go, steps = asyncio.Event(), words(*texts)
    return [*steps[:-2], go, *steps[-2:]], go


async def _start(model: Model, **body: Any) -> str:
    reply = await model.ask("responses", input="Hello", background=True, **body)
    assert reply.status_code == 200, reply.text
    started = reply.json()
    assert (started["status"], started["output"], started["usage"]) == ("queued", [], None)
    assert (started["background"], started["service_tier"]) == (True, "auto")
    return str(started["id"])


async def _get(model: Model, response_id: str) -> dict[str, Any]:
    reply = await model.client.get(f"/v1/responses/{response_id}")
    found: dict[str, Any] = reply.json()
    return found


async def _ended(model: Model, response_id: str) -> dict[str, Any]:
    """The response after its task has ended."""
    run = model.services.background_runs.get(response_id)
    if run is not None and run.task is not None:
        await asyncio.wait([run.task])
    return await _get(model, response_id)


async def test_a_response_is_generated_without_its_client_and_polled() -> None:
    script, go = _held("Hi", " there")
    async with serving(script) as model:
        response_id = await _start(model)
        waiting = await _get(model, response_id)
        assert waiting["status"] in ("queued", "in_progress")
        assert (waiting["output"], waiting["usage"]) == ([], None)
        go.set()
        done = await _ended(model, response_id)
        assert (done["status"], done["output"][0]["content"][0]["text"]) == ("completed", "Hi there")
        assert done["usage"]["output_tokens"] == 3
        assert [(row.outcome, row.completion_tokens, row.status) for row in model.ledger.rows] == [
            ("completed", 3, 200)
        ]
        assert model.generator.streams[0].num_closed == 1


async def test_a_key_follows_a_limited_number_of_streams() -> None:
    async with serving(words("Hi")) as model:
        response_id = await _start(model, stream=False)
        await _ended(model, response_id)
        path, runs = f"/v1/responses/{response_id}?stream=true", model.services.background_runs
        key_id = model.ledger.rows[0].key_id
        with ExitStack() as others:
            for _ in range(MAX_FOLLOWED_PER_KEY - 1):
                others.enter_context(runs.following(key_id))
            others.enter_context(runs.following("another"))
            assert events_of((await model.client.get(path)).text)[-1]["type"] == "response.completed"
            with runs.following(key_id):
                refused = await model.client.get(path)
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
                assert "128 streams of background responses" in error_of(refused)["message"]
        assert (await model.client.get(path)).status_code == 200


async def test_cancelling_frees_the_sequence_and_can_be_repeated() -> None:
    script, _ = _held("Hi")
    async with serving(script) as model:
        response_id = await _start(model)
        cancelled = [await model.client.post(f"/v1/responses/{response_id}/cancel") for _ in range(2)]
        assert cancelled[0].content == cancelled[1].content
        assert cancelled[0].json()["status"] == "cancelled"
        done = await _ended(model, response_id)
        assert done == cancelled[0].json()
        assert (done["output"], done["usage"], done["completed_at"], done["error"]) == ([], None, None, None)
        assert model.generator.streams[0].num_closed == 1
        assert [row.outcome for row in model.ledger.rows] == ["cancelled"]
        assert model.services.background_runs.get(response_id) is None


async def test_cancelling_what_has_ended_returns_it() -> None:
    async with serving(words("Hi")) as model:
        response_id = await _start(model)
        done = await _ended(model, response_id)
        reply = await model.client.post(f"/v1/responses/{response_id}/cancel")
        assert (reply.status_code, reply.json()) == (200, done)


async def test_deleting_ends_the_generation() -> None:
    script, _ = _held("Hi")
    async with serving(script) as model:
        response_id = await _start(model)
        run = model.services.background_runs.get(response_id)
        assert (await model.client.delete(f"/v1/responses/{response_id}")).status_code == 200
        assert run is not None and run.task is not None
        await asyncio.wait([run.task])
        assert (await model.client.get(f"/v1/responses/{response_id}")).status_code == 404
        assert model.generator.streams[0].num_closed == 1


@pytest.mark.parametrize("fault", [RuntimeError("a fault")])
async def test_a_fault_makes_it_fail(fault: Exception) -> None:
    async with serving([PromptDone(3, 0), TextDelta(0, "Hi", 1), fault]) as model:
        done = await _ended(model, await _start(model))
        assert (done["status"], done["output"], done["usage"]) == ("failed", [], None)
        assert done["error"]["code"] == "server_error"
        assert [row.outcome for row in model.ledger.rows] == ["failed"]


async def test_what_is_refused_at_once_is_an_error_and_leaves_nothing() -> None:
    async with serving() as model:
        refused = await model.ask("responses", input="x" * 20000, background=True)
        assert (refused.status_code, error_of(refused)["code"]) == (400, "context_length_exceeded")
        assert model.services.responses.usage("default").num_rows == 0
        assert [row.outcome for row in model.ledger.rows] == ["refused"]
        refused = await model.ask("responses", input="Hi", background=True, store=False)
        assert (refused.status_code, error_of(refused)["param"]) == (400, "store")


async def test_a_key_has_a_bounded_number() -> None:
    scripts = [_held("Hi")[0] for _ in range(MAX_PER_KEY)]
    async with serving(*scripts) as model:
        for _ in range(MAX_PER_KEY):
            await _start(model)
        refused = await model.ask("responses", input="Hi", background=True)
        assert (refused.status_code, error_of(refused)["code"]) == (429, "rate_limit_exceeded")
        await model.services.background_runs.aclose()


async def test_it_is_bounded_for_requests_at_the_same_time_too() -> None:
    scripts = [_held("Hi")[0] for _ in range(MAX_PER_KEY)]
    async with serving(*scripts) as model:
        asking = [model.ask("responses", input="Hi", background=True) for _ in range(MAX_PER_KEY + 8)]
        replies = await asyncio.gather(*asking)
        assert sorted(reply.status_code for reply in replies) == [200] * MAX_PER_KEY + [429] * 8
        await model.services.background_runs.aclose()


async def test_what_waits_counts_toward_the_quota_at_once() -> None:
    limits = WriterLimits(quota=ProjectQuota(max_rows=2))
    scripts = [_held("Hi")[0] for _ in range(2)]
    async with serving(*scripts, writer_limits=limits) as model:
        for _ in range(2):
            await _start(model)
        refused = await model.ask("responses", input="Hi", background=True)
        assert (refused.status_code, error_of(refused)["code"]) == (429, "insufficient_quota")
        await model.services.background_runs.aclose()
        await model.services.store_writer.aclose()


async def test_a_long_request_does_not_hold_up_others() -> None:
    """`tests.loop_guard` fails it if it does."""
    tools = [{"name": f"n{number}", "parameters": {}} for number in range(40_000)]
    row = response("a", project="default", status="queued", output=(), runner="dead")
    body = json.dumps({"id": row.id, "background": True, "tools": tools}).encode()
    async with serving() as model:
        model.services.responses.put(msgspec.structs.replace(row, body=body))
        model.services.background.heartbeat("dead", 60)
        cancelled = await model.client.post(f"/v1/responses/{row.id}/cancel")
        assert cancelled.json()["status"] == "cancelled"
        refused = await model.ask("responses", input="x", instructions="x" * 10_000_000, background=True)
        assert error_of(refused)["code"] == "context_length_exceeded"


async def test_the_end_of_the_server_makes_it_fail() -> None:
    script, _ = _held("Hi")
    async with serving(script) as model:
        response_id = await _start(model)
        await model.services.background_runs.aclose()
        done = await _get(model, response_id)
    assert (done["status"], done["error"]["code"]) == ("failed", "server_error")


async def test_a_response_that_is_not_done_can_not_be_continued() -> None:
    script, go = _held("Hi")
    async with serving(script, words("Ho")) as model:
        response_id = await _start(model)
        refused = await model.ask("responses", input="And?", previous_response_id=response_id)
        assert (refused.status_code, error_of(refused)["param"]) == (400, "previous_response_id")
        go.set()
        await _ended(model, response_id)
        reply = await model.ask("responses", input="And?", previous_response_id=response_id)
        assert reply.status_code == 200


async def test_its_conversation_is_locked_until_it_has_ended() -> None:
    script, go = _held("Hi")
    async with serving(script, words("Ho")) as model:
        conversation = (await model.client.post("/v1/conversations")).json()["id"]
        response_id = await _start(model, conversation=conversation)
        refused = await model.ask("responses", input="Hi", conversation=conversation)
        assert error_of(refused)["code"] == "conversation_locked"
        go.set()
        await _ended(model, response_id)
        assert (await model.ask("responses", input="Hi", conversation=conversation)).status_code == 200
        items = (await model.client.get(f"/v1/conversations/{conversation}/items?order=asc")).json()["data"]
        assert [item["content"][0]["text"] for item in items] == ["Hello", "Hi", "Hi", "Ho"]


KINDS = ["response.created", "response.queued", "response.in_progress", "response.output_item.added"]


async def test_a_stream_is_resumed_at_any_event_live_and_afterwards() -> None:
    script, go = _held("Hi", " there")
    async with serving(script) as model:
        streaming = asyncio.create_task(model.ask("responses", input="Hello", background=True, stream=True))
        await model.generator.is_asked.wait()
        (response_id,) = model.services.background_runs._runs
        resumed = [
            asyncio.create_task(
                model.client.get(f"/v1/responses/{response_id}?stream=true&starting_after={n}")
            )
            for n in (0, 4)
        ]
        go.set()
        events = events_of((await streaming).text)
        assert [event["type"] for event in events][:4] == KINDS
        assert [event["response"]["status"] for event in events[:3]] == ["queued", "queued", "in_progress"]
        assert events[-1]["type"] == "response.completed"
        assert events[-1]["response"] == await _ended(model, response_id)
        for task, number in zip(resumed, (0, 4), strict=True):
            assert _data((await task).text) == events[number + 1 :]
        for number in range(-1, len(events) - 1):
            query = f"stream=true&starting_after={number}" if number >= 0 else "stream=true"
            late = await model.client.get(f"/v1/responses/{response_id}?{query}")
            assert _data(late.text) == events[number + 1 :]


async def test_a_number_beyond_the_last_event_waits_for_the_end() -> None:
    script, go = _held("Hi", " there")
    async with serving(script) as model:
        response_id = await _start(model)
        path = f"/v1/responses/{response_id}?stream=true&starting_after=1000"
        following = asyncio.create_task(model.client.get(path))
        await model.generator.is_asked.wait()
        go.set()
        (event,) = _data((await following).text)
        assert (event["type"], event["sequence_number"]) == ("response.completed", 1001)
        assert event["response"] == await _ended(model, response_id)


async def test_a_client_that_leaves_its_stream_costs_it_nothing() -> None:
    script, go = _held("Hi", " there")
    async with serving(script) as model:
        streaming = asyncio.create_task(model.ask("responses", input="Hello", background=True, stream=True))
        await model.generator.is_asked.wait()
        (response_id,) = model.services.background_runs._runs
        streaming.cancel()
        await asyncio.wait([streaming])
        go.set()
        done = await _ended(model, response_id)
        assert done["status"] == "completed"
        assert [row.outcome for row in model.ledger.rows] == ["completed"]


async def test_a_failed_stream_ends_with_the_failure() -> None:
    script: Sequence[Step] = [PromptDone(3, 0), TextDelta(0, "Hi", 1), RuntimeError("a fault")]
    async with serving(script) as model:
        reply = await model.ask("responses", input="Hello", background=True, stream=True)
        events = events_of(reply.text)
        assert [event["type"] for event in events][-2:] == ["error", "response.failed"]
        assert events[-1]["response"] == await _ended(model, events[0]["response"]["id"])


def _data(stream: str) -> list[dict[str, Any]]:
    return [json.loads(block.split("data: ")[1]) for block in stream.split("\n\n")[:-1]]


# --- several servers on one database ---


async def test_another_server_polls_follows_and_cancels() -> None:
    stores = MemoryStores("memory:")
    script, go = _held("Hi", " there")
    held, _ = _held("Hi")
    async with serving(script, held, stores=stores) as here, serving(stores=stores) as there:
        streaming = asyncio.create_task(here.ask("responses", input="Hello", background=True, stream=True))
        await here.generator.is_asked.wait()
        (response_id,) = here.services.background_runs._runs
        assert (await _get(there, response_id))["status"] in ("queued", "in_progress")
        following = asyncio.create_task(there.client.get(f"/v1/responses/{response_id}?stream=true"))
        go.set()
        events = events_of((await streaming).text)
        assert _data((await following).text) == events
        second = await _start(here)
        assert (await there.client.post(f"/v1/responses/{second}/cancel")).json()["status"] == "cancelled"
        run = here.services.background_runs.get(second)
        await here.services.background_runs._beat_once()
        assert run is not None and run.task is not None
        await asyncio.wait([run.task])
        assert here.generator.streams[1].num_closed == 1
        assert (await _get(here, second))["status"] == "cancelled"


@pytest.mark.parametrize("asked", ["get", "continue", "follow"])
async def test_what_a_dead_server_was_generating_has_failed(asked: str) -> None:
    stores = MemoryStores("memory:")
    script, _ = _held("Hi")
    async with serving(script, stores=stores) as dead, serving(words("Ho"), stores=stores) as other:
        response_id = await _start(dead)
        background: BackgroundStore = stores.background()
        background.heartbeat(dead.services.background_runs.server, -1)
        if asked == "continue":
            reply = await other.ask("responses", input="And?", previous_response_id=response_id)
            assert reply.status_code == 200
        elif asked == "follow":
            stream = _data((await other.client.get(f"/v1/responses/{response_id}?stream=true")).text)
            assert stream[-1]["type"] == "response.failed"
        found = await _get(other, response_id)
        assert (found["status"], found["error"]) == (
            "failed",
            {"code": "server_error", "message": "The server stopped before the response was complete."},
        )
        await dead.services.background_runs.aclose()
        assert (await _get(other, response_id)) == found


async def test_events_that_could_not_be_stored_are_not_skipped() -> None:
    async with serving(words("Hi")) as model:
        stream = (await model.ask("responses", input="Hi", background=True, stream=True)).text
        response_id = events_of(stream)[0]["response"]["id"]
        await _ended(model, response_id)
        frames, store = [frame.encode() for frame in stream.split("\n\n")[:-1]], model.services.background
        store.delete_events(2**40)
        store.add_events(response_id, EventBatch(0, frames[:2]))
        store.add_events(response_id, EventBatch(4, frames[4:]))
        again = await model.client.get(f"/v1/responses/{response_id}?stream=true")
        assert events_of(again.text) == events_of(stream)


async def test_events_are_deleted_some_time_after_the_end() -> None:
    shared = MemoryConversational(clock=lambda: 1.0)
    store, threads = MemoryBackground(shared), DatabaseThreads(1)
    for name in ("ended", "running"):
        MemoryResponses(shared).put(response(name, status="in_progress"))
        store.add_events(f"resp_{name}", EventBatch(0, [b""]))
    store.finish(response("ended"))
    await BackgroundRuns(store, threads).clean()
    assert [len(store.events(f"resp_{name}", -1)) for name in ("ended", "running")] == [0, 1]
    threads.close()


# --- the log of events ---


async def test_a_log_that_is_too_long_keeps_what_is_not_stored_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myna.request.background._MAX_IN_MEMORY", 20)
    log = EventLog(is_stored=True)
    log.append([b"x" * 10] * 5)
    assert (log.first, log.next) == (0, 5)
    batch = log.unstored()
    assert batch is not None and (batch.first, len(batch.events)) == (0, 5)
    assert log.unstored() is None
    log.append([b"y"])
    assert (log.first, log.next) == (4, 6)
    assert await log.after(4) == [b"y"]
    log.end()
    assert await log.after(5) == []


async def test_a_log_that_nobody_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myna.request.background._MAX_IN_MEMORY", 20)
    log = EventLog(is_stored=False)
    log.append([b"x" * 10] * 5)
    assert (log.first, log.next) == (3, 5)
    assert log.unstored() is None

"""Responses and conversations while PostgreSQL ends all connections again and again, as at its restart."""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from httpx import Response
from tests.api.stand_in import Model, serving
from tests.http.scripted import words

from myna.stores.database import TimeLimits
from myna.stores.sql_stores import SqlStores
from myna.stores.store_writer import WriterLimits

_PATIENT = TimeLimits(lock_s=600, statement_s=600, answer_s=600, pool_s=600)
_NUM_ROUNDS = 4
_TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FIRST_RETRY_S", "_MAX_RETRY_S"):
        monkeypatch.setattr(f"myna.request.background.{name}", 0.001)


@pytest.fixture
def stores(postgresql_url: str) -> Iterator[SqlStores]:
    opened = SqlStores(postgresql_url, _PATIENT)
    yield opened
    opened.responses().close()


def _cut(url: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute(_TERMINATE)


async def _ask_all(model: Model, conversation: str, number: int) -> list[Response]:
    item = {"role": "user", "content": f"item {number}"}
    answers = await asyncio.gather(
        model.ask("responses", input="x"),
        model.ask("responses", input="x", stream=True),
        model.ask("responses", input="x", background=True),
        model.client.post(f"/v1/conversations/{conversation}/items", json={"items": [item]}),
    )
    return list(answers)


async def test_whatever_was_answered_is_stored_and_nothing_else_is(
    stores: SqlStores, postgresql_url: str
) -> None:
    scripts = [words("Hi") for _ in range(3 * _NUM_ROUNDS)]
    limits = WriterLimits(first_retry_s=0.001)
    answered: list[list[Response]] = []
    async with serving(*scripts, stores=stores, writer_limits=limits) as model:
        conversation = (await model.client.post("/v1/conversations")).json()["id"]
        for number in range(_NUM_ROUNDS):
            asking = asyncio.create_task(_ask_all(model, conversation, number))
            while not asking.done():
                await asyncio.to_thread(_cut, postgresql_url)
            answered.append(await asking)
        for run in list(model.services.background_runs._runs.values()):
            assert run.task is not None
            await asyncio.wait([run.task])
        await model.services.store_writer.aclose()
        for number, (whole, streamed, background, added) in enumerate(answered):
            assert (whole.status_code, streamed.status_code) == (200, 200), "an answer doesn't need its copy"
            assert (await _status(model, whole.json()["id"])) == "completed"
            assert {background.status_code, added.status_code} <= {200, 503}
            if background.status_code == 200:
                assert (await _status(model, background.json()["id"])) in ("completed", "failed")
            page = await model.client.get(f"/v1/conversations/{conversation}/items?limit=100")
            texts = [item["content"][0]["text"] for item in page.json()["data"]]
            assert texts.count(f"item {number}") in ([1] if added.status_code == 200 else [0, 1])


async def _status(model: Model, response_id: str) -> Any:
    return (await model.client.get(f"/v1/responses/{response_id}")).json()["status"]

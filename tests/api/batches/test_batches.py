"""Batches over HTTP with the official client, on a live server with a scripted model."""

import asyncio
import errno
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import openai
import pytest
from openai.types import Batch
from tests.http.live import Live, running
from tests.http.scripted import KEY, Ledger, ScriptedGenerator, Step, pool_of, services, words

from myna.accounts.administration import Actor
from myna.app import create_app
from myna.batches.service import Batches
from myna.core.errors import EngineDead, GenerationFailed, Overloaded
from myna.core.ledger import BATCH_TIER
from myna.core.requests import BACKGROUND
from myna.request.auth import BATCH_KEY_TEXT
from myna.request.in_process import answer_in_process, find_model
from myna.request.services import Services
from myna.stores.database_threads import DatabaseThreads
from myna.stores.files import Files
from myna.stores.files_memory import MemoryBatches, MemoryFiles

FAMILIES = (
    "myna.api.models.routes",
    "myna.api.chat.routes",
    "myna.api.completions.routes",
    "myna.api.files.routes",
    "myna.api.batches.routes",
)
CHAT: Final = "/v1/chat/completions"
ACTOR = Actor("session", "tests")
SHORT = {"anchor": "created_at", "seconds": 5}
ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass
class Server:
    live: Live
    client: openai.AsyncOpenAI
    generator: ScriptedGenerator
    ledger: Ledger
    services: Services

    async def run(self, data: bytes, endpoint: str = CHAT, **options: Any) -> Batch:
        """The batch of that input once it has ended."""
        batch = await self.create(data, endpoint, **options)
        return await self.ended(batch.id)

    async def create(self, data: bytes, endpoint: str = CHAT, **options: Any) -> Batch:
        file = await self.client.files.create(file=("in.jsonl", data), purpose="batch")
        create: Any = self.client.batches.create
        batch: Batch = await create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h", **options
        )
        return batch

    async def ended(self, batch_id: str) -> Batch:
        while True:
            batch = await self.client.batches.retrieve(batch_id)
            if batch.status in ENDED:
                return batch

    async def asked(self, number: int) -> None:
        """Returns when the model has been asked that often."""
        while len(self.generator.requests) < number:
            self.generator.is_asked.clear()
            await self.generator.is_asked.wait()

    async def lines(self, file_id: str | None) -> dict[str, dict[str, Any]]:
        """The results by custom_id; asserts that each is there once."""
        text = (await self.client.files.content(str(file_id))).text if file_id else ""
        lines = [json.loads(line) for line in text.splitlines()]
        found = {line["custom_id"]: line for line in lines}
        assert len(found) == len(lines)
        return found


@asynccontextmanager
async def serving(
    path: Path, *scripts: Sequence[Step] | Exception, concurrency: int = 4
) -> AsyncIterator[Server]:
    generator, ledger = ScriptedGenerator(list(scripts) or [words("Hi") for _ in range(64)]), Ledger()
    rows, threads = MemoryFiles(), DatabaseThreads(1)
    files = Files(rows, path, threads)
    batches = Batches(MemoryBatches(rows), files, threads, concurrency, beat_s=0.01)
    made = replace(services(pool_of(generator), ledger), files=files, batches=batches)
    async with (
        running(made, families=FAMILIES) as live,
        openai.AsyncOpenAI(base_url=live.base_url, api_key=KEY, max_retries=0) as client,
    ):
        yield Server(live, client, generator, ledger, made)


def line(custom_id: object, url: str = CHAT, **body: Any) -> bytes:
    chat = {"model": "tiny", "messages": [{"role": "user", "content": f"line {custom_id}"}], **body}
    request = {"custom_id": custom_id, "method": "POST", "url": url, "body": chat}
    return json.dumps(request, ensure_ascii=False).encode() + b"\n"


async def test_the_official_client_runs_a_batch(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        created = await server.create(b"".join(map(line, "abc")), metadata={"night": "1"})
        batch = await server.ended(created.id)
        results = await server.lines(batch.output_file_id)
        output = await server.client.files.retrieve(str(batch.output_file_id))
        listed = [one.id async for one in server.client.batches.list(limit=1)]
    assert (created.status, created.model, created.usage and created.usage.total_tokens) == (
        "validating",
        None,
        0,
    )
    assert created.expires_at == created.created_at + 86_400 and created.metadata == {"night": "1"}
    assert (batch.status, batch.model, batch.error_file_id, batch.errors) == ("completed", "tiny", None, None)
    assert batch.request_counts is not None and batch.usage is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (
        3,
        3,
        0,
    )
    assert (batch.usage.input_tokens, batch.usage.output_tokens, batch.usage.total_tokens) == (9, 6, 15)
    assert batch.usage.input_tokens_details.cached_tokens == 3
    assert batch.in_progress_at and batch.finalizing_at and batch.completed_at
    assert output.filename == f"{batch.id}_output.jsonl" and output.purpose == "batch_output"
    assert output.expires_at is None
    assert listed == [batch.id]
    assert set(results) == set("abc")
    result = results["a"]
    assert list(result) == ["id", "custom_id", "response", "error"]
    assert result["id"].startswith("batch_req_") and result["error"] is None
    assert (result["response"]["status_code"], len(result["response"]["request_id"])) == (200, 32)
    assert result["response"]["body"]["choices"][0]["message"]["content"] == "Hi"


async def test_a_line_is_a_request_of_the_lowest_priority_in_the_ledger(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        batch = await server.run(line("a", service_tier="priority"))
        results = await server.lines(batch.output_file_id)
        (request,), (row,) = server.generator.requests, server.ledger.rows
    assert (request.priority, request.owner.partition("/")[0]) == (BACKGROUND, "batch")
    assert (row.endpoint, row.service_tier, row.completion_tokens) == ("chat.completions", BATCH_TIER, 2)
    assert row.id == f"req_{results['a']['response']['request_id']}"
    assert results["a"]["response"]["body"]["service_tier"] == "default"


async def test_each_line_is_a_request_of_the_key_as_it_is_then(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(tmp_path, [gate, *words("Hi")], words("Hi"), concurrency=1) as server:
        accounts = server.services.accounts
        made = accounts.administration.create_key(ACTOR, "default", "x", models=["tiny"])
        async with openai.AsyncOpenAI(base_url=server.live.base_url, api_key=made.value) as other:
            file = await other.files.create(file=("in.jsonl", line("a") + line("b")), purpose="batch")
            created = await other.batches.create(
                input_file_id=file.id, endpoint=CHAT, completion_window="24h"
            )
        await server.asked(1)
        accounts.administration.revoke_key(ACTOR, None, made.key.id)
        await accounts.catch_up()
        gate.set()
        batch = await server.ended(created.id)
        good, bad = await server.lines(batch.output_file_id), await server.lines(batch.error_file_id)
    assert set(good) == {"a"} and set(bad) == {"b"}
    assert bad["b"]["response"]["status_code"] == 401
    assert bad["b"]["response"]["body"]["error"]["message"] == BATCH_KEY_TEXT
    assert {row.key_id for row in server.ledger.rows} == {made.key.id}


async def test_a_limit_of_the_key_delays_its_lines(tmp_path: Path) -> None:
    async with serving(tmp_path, concurrency=4) as server:
        limits = server.services.accounts.administration
        limits.set_limit(ACTOR, "default", "", {"concurrent_requests": 1})
        await server.services.accounts.catch_up()
        batch = await server.run(b"".join(map(line, "abc")))
        results = await server.lines(batch.output_file_id)
    assert set(results) == set("abc") and batch.error_file_id is None


async def test_the_batch_tier_cannot_be_requested(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.live.ask("POST", CHAT, json.dumps({"model": "tiny", "service_tier": "batch"}).encode())
    assert [row.service_tier for row in server.ledger.rows] == [""]


async def test_bodies_have_openais_order(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        batch = await server.run(line("a"))
        one = await server.live.ask("GET", f"/v1/batches/{batch.id}")
        listed = await server.live.ask("GET", "/v1/batches")
    keys = (
        "id object endpoint model errors input_file_id completion_window status output_file_id error_file_id "
        "created_at in_progress_at expires_at finalizing_at completed_at failed_at expired_at cancelling_at "
        "cancelled_at request_counts usage metadata"
    )
    assert list(json.loads(one.body)) == keys.split()
    assert one.body == json.dumps(json.loads(one.body), indent=2).encode()
    assert list(json.loads(listed.body)) == ["object", "data", "first_id", "last_id", "has_more"]


async def test_refused_lines_are_in_the_error_file(tmp_path: Path) -> None:
    data = line("good") + line("wrong", temperature=9) + line("stream", stream=True)
    async with serving(tmp_path) as server:
        batch = await server.run(data)
        good, bad = await server.lines(batch.output_file_id), await server.lines(batch.error_file_id)
        none_good = await server.run(line("x", n=0))
    assert set(good) == {"good"} and set(bad) == {"wrong", "stream"}
    assert bad["wrong"]["error"] is None
    response = bad["wrong"]["response"]
    assert (response["status_code"], response["body"]["error"]["param"]) == (400, "temperature")
    assert bad["stream"]["response"]["body"]["error"]["param"] == "stream"
    assert batch.request_counts is not None and batch.request_counts.failed == 2
    assert (none_good.status, none_good.output_file_id) == ("completed", None)
    assert none_good.error_file_id is not None


async def test_a_line_that_is_nested_too_deeply_does_not_stop_the_others(tmp_path: Path) -> None:
    deep = line("deep", metadata=None).replace(b'"metadata": null', b'"x": ' + b"[" * 300 + b"]" * 300)
    async with serving(tmp_path) as server:
        batch = await server.run(line("good") + deep)
        good, bad = await server.lines(batch.output_file_id), await server.lines(batch.error_file_id)
    assert (set(good), set(bad)) == ({"good"}, {"deep"})
    assert bad["deep"]["response"]["status_code"] == 400


async def test_what_passes_is_tried_again_and_what_fails_is_not(tmp_path: Path) -> None:
    full, failed = Overloaded("full", retry_after_s=0.01), GenerationFailed("no")
    async with serving(tmp_path, EngineDead("x"), full, words("Hi"), failed, concurrency=1) as server:
        batch = await server.run(line("a") + line("b"))
        good, bad = await server.lines(batch.output_file_id), await server.lines(batch.error_file_id)
    assert set(good) == {"a"} and set(bad) == {"b"}
    assert bad["b"]["response"]["status_code"] == 500


@pytest.mark.parametrize(
    ("data", "code", "line_number", "param"),
    [
        (b"{]\n", "invalid_json_line", 1, None),
        (b"\xef\xbb\xbf" + line("a"), "invalid_json_line", 1, None),
        (b"\xff\xfe\x00" + line("a"), "invalid_json_line", 1, None),
        (line("a") + b"\0\n", "invalid_json_line", 2, None),
        (b"[1]\n", "invalid_json_line", 1, None),
        (b'{"custom_id": "a", "method": "POST", "url": "x"}', "missing_required_parameter", 1, "body"),
        (line(7), "invalid_type", 1, "custom_id"),
        (line("a" * 600), "string_above_max_length", 1, "custom_id"),
        (line("a") + b"\r\n" + line("a"), "duplicate_custom_id", 3, "custom_id"),
        (line("a", "/v1/completions"), "mismatched_endpoint", 1, "url"),
        (line("a").replace(b"POST", b"GET"), "invalid_method", 1, "method"),
        (line("a") + line("b", model="gpt-4o-mini"), "mismatched_model", 2, "body.model"),
        (line("a", model="gpt-9"), "model_not_found", 1, "body.model"),
        (b"\n \r\n", "empty_file", None, None),
    ],
)  # fmt: skip
async def test_a_wrong_input_fails_the_batch_later(
    tmp_path: Path, data: bytes, code: str, line_number: int | None, param: str | None
) -> None:
    async with serving(tmp_path) as server:
        batch = await server.run(data)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)
    assert batch.failed_at is not None and batch.errors is not None and batch.errors.data is not None
    (fault,) = batch.errors.data
    assert (batch.errors.object, fault.code, fault.line, fault.param) == ("list", code, line_number, param)
    assert server.generator.requests == []


async def test_odd_lines_that_are_json_run(tmp_path: Path) -> None:
    data = (
        line("a").replace(b"\n", b"\r\n") + b"\r\n" + line("喂").replace(b"line", b"\\ud83d") + line("c")[:-1]
    )
    async with serving(tmp_path) as server:
        batch = await server.run(data)
        assert set(await server.lines(batch.output_file_id)) == {"a", "喂", "c"}


async def test_a_batch_that_is_cancelled_keeps_what_is_done(tmp_path: Path) -> None:
    never = [asyncio.Event()]
    async with serving(tmp_path, words("Hi"), never, never, concurrency=2) as server:
        batch = await server.create(b"".join(map(line, "abcd")))
        await server.asked(3)
        cancelling = await server.client.batches.cancel(batch.id)
        with pytest.raises(openai.ConflictError) as again:
            await server.ended(batch.id)
            await server.client.batches.cancel(batch.id)
        batch = await server.ended(batch.id)
        good, bad = await server.lines(batch.output_file_id), await server.lines(batch.error_file_id)
    assert cancelling.status == "cancelling" and cancelling.cancelling_at is not None
    assert (batch.status, batch.completed_at) == ("cancelled", None) and batch.cancelled_at is not None
    assert len(good) == 1 and len(bad) == 3
    assert {one["error"]["code"] for one in bad.values()} == {"batch_cancelled"}
    assert {one["response"] for one in bad.values()} == {None}
    assert again.value.body == {
        "message": "Cannot cancel a batch with status 'cancelled'.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert [stream.num_closed > 0 for stream in server.generator.streams] == [True] * 3


async def test_a_batch_expires_with_its_window(tmp_path: Path) -> None:
    never = [asyncio.Event()]
    async with serving(tmp_path, words("Hi"), never, concurrency=1) as server:
        batch = await server.create(b"".join(map(line, "abc")))
        await server.asked(2)
        server.services.files.clock = lambda: time.time() + 86_401
        batch = await server.ended(batch.id)
        good, bad = await server.lines(batch.output_file_id), await server.lines(batch.error_file_id)
    assert (batch.status, batch.completed_at) == ("expired", None)
    assert batch.finalizing_at is not None and batch.expired_at is not None
    assert len(good) == 1
    assert {one["error"]["code"] for one in bad.values()} == {"batch_expired"} and len(bad) == 2


async def test_the_input_may_be_deleted_once_the_batch_exists(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(tmp_path, [gate, *words("Hi")], words("Hi"), concurrency=1) as server:
        batch = await server.create(line("a") + line("b"))
        await server.client.files.delete(batch.input_file_id)
        gate.set()
        batch = await server.ended(batch.id)
        assert len(await server.lines(batch.output_file_id)) == 2
        await server.client.files.delete(str(batch.output_file_id))
    assert _contents(tmp_path) == []


async def test_a_full_disk_is_a_507_for_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    async with serving(tmp_path) as server:
        with pytest.raises(openai.InternalServerError) as refused:
            await server.create(line("a"))
    assert refused.value.status_code == 507


def _contents(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.is_file()]


async def test_a_server_that_stops_leaves_the_batch_to_the_next(tmp_path: Path) -> None:
    never = [asyncio.Event()]
    async with serving(tmp_path, words("Hi"), never, concurrency=1) as server:
        created = await server.create(b"".join(map(line, "abc")))
        await server.asked(2)
        await server.services.batches.aclose()
        row = await server.services.batches.get("default", created.id)
        assert row is not None and (row.num_completed, row.lease_until) == (1, 0.0)
        server.generator.scripts += [words("Hi"), words("Hi")]
        app = create_app(server.services, families=FAMILIES)
        server.services.batches.start(
            partial(answer_in_process, app.for_batches, server.services),
            partial(find_model, server.services),
        )
        batch = await server.ended(created.id)
        results = await server.lines(batch.output_file_id)
    assert batch.status == "completed" and set(results) == set("abc")
    assert len(server.generator.requests) == 4


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"completion_window": "48h"}, "completion_window", "invalid_value"),
        ({"endpoint": "/v1/x"}, "endpoint", "invalid_value"),
        ({"input_file_id": "file-x"}, "input_file_id", None),
        ({"input_file_id": "\0"}, "input_file_id", None),
        ({"colour": "red"}, "colour", "unknown_parameter"),
        ({"output_expires_after": SHORT}, "output_expires_after.seconds", "integer_below_min_value"),
    ],
)  # fmt: skip
async def test_a_wrong_request_is_refused_by_name(
    tmp_path: Path, body: dict[str, Any], param: str, code: str | None
) -> None:
    async with serving(tmp_path) as server:
        file = await server.client.files.create(file=("in.jsonl", line("a")), purpose="batch")
        whole = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **body}
        reply = await server.live.ask("POST", "/v1/batches", json.dumps(whole).encode())
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["param"], error["code"]) == (400, param, code)


async def test_an_unknown_batch_is_a_404(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.run(line("a"))
        replies = [
            await server.live.ask(method, f"/v1/batches{rest}")
            for method, rest in (
                ("GET", "/batch_x"), ("GET", f"/batch_{'0' * 32}"), ("POST", f"/batch_{'0' * 32}/cancel"),
                ("GET", "?after=%00"), ("GET", f"?after=batch_{'0' * 32}"),
            )
        ]  # fmt: skip
    assert {reply.status for reply in replies} == {404}
    assert json.loads(replies[0].body)["error"]["message"] == "No batch found with id 'batch_x'."


async def test_results_expire_as_requested(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        batch = await server.run(line("a"), output_expires_after={"anchor": "created_at", "seconds": 3600})
        output = await server.client.files.retrieve(str(batch.output_file_id))
    assert output.expires_at == output.created_at + 3600

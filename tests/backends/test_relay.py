"""A model behind another server: untouched in both directions, and counted, limited and ended like any."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from tests.backends.stand_in import OPTIONS, Elsewhere, FarModel, relayed
from tests.http.live import Live, request_bytes, running
from tests.http.scripted import Ledger, Step, local, services

from myna.catalog.pool import ModelPool
from myna.catalog.registry import ModelCard, ModelRegistry
from myna.core.errors import Overloaded, UpstreamFailed, UpstreamRefused, UpstreamTimeout
from myna.core.events import Done, PromptDone, WireChunk
from myna.http.event_format import DONE, KEEP_ALIVE
from myna.request.services import Services
from myna.usage.metrics import Instruments
from myna.usage.recorder import UsageSinks

FAMILIES = (
    "myna.api.chat.routes",
    "myna.api.completions.routes",
    "tests.http.words_endpoint",
    "myna.api.messages.routes",
    "myna.api.models.routes",
    "myna.api.monitoring.routes",
    "myna.api.responses.routes",
)
CHAT = "/v1/chat/completions"
STREAM = b'{"model":"far-1","stream":true,"x_extension":{"deep":[1.5,null]}}'
WHOLE = b'{"model":"far-1"}'
ESTIMATED = len(b"modelfar-1stream?x_extensiondeep??") // 4
"""Prompt tokens of STREAM, if the upstream reports none."""


@dataclass
class Served:
    live: Live
    backend: Elsewhere
    ledger: Ledger
    services: Services


@asynccontextmanager
async def serving(*scripts: list[Step] | Exception, keep_alive_s: float = 10.0) -> AsyncIterator[Served]:
    """A backend that announces `far-1`, which the alias `near` refers to."""
    backend, ledger = Elsewhere(OPTIONS), Ledger()
    backend.models = (FarModel("far-1"),)
    backend.relay.scripts += scripts
    alias = ModelCard("near", 0, "", "alias", "far-1")
    look = ModelRegistry([], [alias], None, backend.announced).poll
    pool = ModelPool(look, backend.prepare, delete_files=lambda model: None)
    instruments = Instruments()
    parts = replace(
        services(pool, ledger),
        keep_alive_s=keep_alive_s,
        instruments=instruments,
        usage_sinks=UsageSinks(ledger, (instruments,)),
    )
    async with running(parts, families=FAMILIES) as live:
        yield Served(live, backend, ledger, parts)


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
async def test_a_stream_is_the_upstream_s_bytes_and_the_ledger_has_its_counts(path: str) -> None:
    chunks = (b'data: {"x":"\xe4\xbd\xa0","unknown":true}\n\n', b": a comment\n\ndata: 2\n\n")
    async with serving(relayed(*chunks)) as served:
        reply = await served.live.ask("POST", f"/v1/{path}", STREAM)
    assert reply.status == 200
    assert reply.body == b"".join(chunks) + DONE
    (request,) = served.backend.relay.requests
    assert request.body == json.loads(STREAM)
    assert (request.path, request.is_stream) == (path, True)
    (row,) = served.ledger.rows
    assert request.request_id == row.id == reply.headers["x-request-id"]
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (7, 2, 3)
    assert (row.model, row.outcome, row.status, row.is_stream) == ("far-1", "completed", 200, True)
    assert row.first_token_ms is not None
    assert served.backend.relay.streams[0].num_closed
    assert served.backend.relay.is_closed  # with the server


async def test_a_whole_answer_is_the_upstream_s_body() -> None:
    body = b'{ "id": "theirs",\n  "choices": [] }'
    async with serving(relayed(body)) as served:
        reply = await served.live.ask("POST", CHAT, b'{"model":"near"}')
    assert reply.body == body
    (row,) = served.ledger.rows
    assert (row.model, row.asked_model, row.completion_tokens) == ("far-1", "near", 2)


@pytest.mark.parametrize("path", ["responses/input_tokens", "messages/count_tokens"])
async def test_tokens_of_a_relayed_model_are_not_counted_and_the_error_names_its_upstream(path: str) -> None:
    async with serving() as served:
        reply = await served.live.ask("POST", f"/v1/{path}", b'{"model":"near","input":"Hi","messages":[]}')
    assert reply.status == 404
    assert b"counted for 'near': it runs on the upstream 'elsewhere'" in reply.body


async def test_the_upstream_s_own_refusal_is_the_answer() -> None:
    refusal = UpstreamRefused("too fast", status=429, body=b'{"error": "slow down"}\n', retry_after_s=1.5)
    async with serving(refusal, refusal) as served:
        for body in (STREAM, WHOLE):
            reply = await served.live.ask("POST", CHAT, body)
            assert (reply.status, reply.body) == (429, refusal.body)
            assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("2", "1500")
            assert reply.headers["content-type"] == "application/json"
    assert {(row.outcome, row.status, row.error) for row in served.ledger.rows} == {
        ("refused", 429, "UpstreamRefused")
    }


@pytest.mark.parametrize(
    ("failure", "status", "code", "outcome"),
    [
        (UpstreamFailed("The upstream 'big' broke off."), 502, "upstream_failed", "failed"),
        (UpstreamTimeout("The upstream 'big' did not answer in 60 s."), 504, "upstream_timeout", "failed"),
        (Overloaded("all are busy", retry_after_s=3), 503, "server_is_overloaded", "refused"),
    ],
)
async def test_a_failure_before_the_first_byte_is_a_status(
    failure: Exception, status: int, code: str, outcome: str
) -> None:
    async with serving(failure, [failure]) as served:
        for body in (STREAM, WHOLE):
            reply = await served.live.ask("POST", CHAT, body)
            error = json.loads(reply.body)["error"]
            assert (reply.status, error["code"]) == (status, code)
    assert {row.outcome for row in served.ledger.rows} == {outcome}


async def test_a_stream_that_breaks_off_ends_with_an_error_and_what_was_used_is_kept() -> None:
    gate = asyncio.Event()
    script: list[Step] = [WireChunk(b"data: 1\n\n", 1), gate, UpstreamFailed("The upstream 'big' broke off.")]
    async with serving(script) as served:
        connection = await served.live.send(request_bytes("POST", CHAT, STREAM))
        await connection.head()
        assert await connection.chunk() == b"data: 1\n\n"
        gate.set()
        rest = await connection.chunk()
        await connection.close()
    assert b"'big' broke off" in rest
    assert rest.endswith(DONE)
    (row,) = served.ledger.rows
    assert (row.completion_tokens, row.outcome, row.error) == (1, "failed", "UpstreamFailed")
    assert row.prompt_tokens == ESTIMATED


async def test_a_silent_upstream_is_kept_alive_and_left_when_the_client_leaves() -> None:
    script: list[Step] = [WireChunk(b"data: 1\n\n", 1), asyncio.Event()]
    async with serving(script, keep_alive_s=0.01) as served:
        connection = await served.live.send(request_bytes("POST", CHAT, STREAM))
        await connection.head()
        while (chunk := await connection.chunk()) == KEEP_ALIVE:  # there may be some before it, too
            pass
        assert chunk == b"data: 1\n\n"
        assert await connection.chunk() == KEEP_ALIVE
        await connection.close()
        await served.ledger.is_written.wait()
        assert served.backend.relay.streams[0].num_closed
    (row,) = served.ledger.rows
    assert (row.outcome, row.prompt_tokens, row.completion_tokens) == ("cancelled", ESTIMATED, 1)


async def test_a_large_body_is_not_kept_while_the_response_is_sent() -> None:
    text = "x" * (2 << 20)
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    body = json.dumps({"model": "far-1", "stream": True, "messages": [message]}).encode()
    script: list[Step] = [WireChunk(b"data: 1\n\n", 1), asyncio.Event()]
    async with serving(script, keep_alive_s=0.01) as served:
        sent = request_bytes("POST", CHAT, body)
        tracemalloc.start()
        try:
            connection = await served.live.send(sent)
            await connection.head()
            while not (await connection.chunk()).startswith(b"data:"):  # keep-alives
                pass
            assert served.backend.relay.requests.pop().body["messages"] == [message]
            gc.collect()
            num_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert num_bytes < len(text) / 2
        await connection.close()
        await served.ledger.is_written.wait()
    assert served.ledger.rows[0].prompt_tokens >= len(text) // 4


async def test_a_client_that_leaves_early_has_used_its_prompt() -> None:
    """Its limits must count it, although the upstream reports prompt tokens only at the end."""
    text = "word " * 400
    body = json.dumps({"model": "far-1", "stream": True, "messages": [{"role": "user", "content": text}]})
    script: list[Step] = [WireChunk(b"data: 1\n\n", 1), asyncio.Event()]
    async with serving(script, keep_alive_s=0.01) as served:
        connection = await served.live.send(request_bytes("POST", CHAT, body.encode()))
        await connection.head()
        while not (await connection.chunk()).startswith(b"data:"):  # keep-alives
            pass
        await connection.close()
        await served.ledger.is_written.wait()
        metrics = (await served.live.ask("GET", "/metrics")).body.decode()
    (row,) = served.ledger.rows
    assert 500 < row.prompt_tokens < 520
    assert f'vllm:prompt_tokens_total{{model_name="far-1"}} {row.prompt_tokens}.0' in metrics


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}},
        {"type": "input_audio", "input_audio": {"data": "A" * 400_000, "format": "wav"}},
        {"type": "image", "source": {"type": "base64", "data": "A" * 400_000}},
    ],
)
async def test_a_picture_counts_as_one_until_the_upstream_reports_its_tokens(part: object) -> None:
    body = json.dumps({"model": "far-1", "messages": [{"role": "user", "content": [part, part]}]}).encode()
    async with serving([WireChunk(b"{}", 0), Done(5)]) as served:
        await served.live.ask("POST", CHAT, body)
    (row,) = served.ledger.rows
    assert 2000 < row.prompt_tokens < 2200


async def test_counts_at_the_end_may_cover_the_whole_stream() -> None:
    """An upstream that counts only when it has ended."""
    async with serving([WireChunk(b"data: 1\n\n", 0), PromptDone(9, 0), Done(5)]) as served:
        await served.live.ask("POST", CHAT, STREAM)
    assert [(row.prompt_tokens, row.completion_tokens) for row in served.ledger.rows] == [(9, 5)]


async def test_an_endpoint_that_needs_the_model_itself_refuses_it_by_name() -> None:
    async with serving() as served:
        reply = await served.live.ask("POST", "/v1/words", WHOLE)
    assert reply.status == 404
    assert "'far-1' runs on another server" in json.loads(reply.body)["error"]["message"]


async def test_lists_metrics_and_status_need_no_file_and_no_process() -> None:
    async with serving(relayed(b"{}")) as served:
        listed = json.loads((await served.live.ask("GET", "/v1/models")).body)["data"]
        assert [(model["id"], model["owned_by"]) for model in listed] == [
            ("far-1", "elsewhere"),
            ("near", "elsewhere"),
        ]
        await served.live.ask("POST", CHAT, WHOLE)
        served.backend.relay.is_ready = False
        (model,) = json.loads((await served.live.ask("GET", "/v1/organization/status")).body)["models"]
        assert (model["id"], model["engine"], model["is_ready"]) == ("far-1", "elsewhere", False)
        metrics = (await served.live.ask("GET", "/metrics")).body.decode()
        assert 'myna_model_is_ready{model_name="far-1"} 0.0' in metrics
        assert 'vllm:generation_tokens_total{model_name="far-1"} 2.0' in metrics
        assert 'vllm:prompt_tokens_total{model_name="far-1"} 7.0' in metrics
        reply = await served.live.ask("DELETE", "/v1/models/far-1")
        assert (reply.status, "can't be deleted" in reply.body.decode()) == (403, True)


async def test_models_that_an_upstream_adds_and_drops_show_at_once() -> None:
    async with serving() as served:
        served.backend.models = (FarModel("far-2"),)
        listed = json.loads((await served.live.ask("GET", "/v1/models")).body)["data"]
        assert [model["id"] for model in listed] == ["far-2"]
        assert (await served.live.ask("GET", "/v1/models/far-1")).status == 404


async def test_a_local_model_hides_an_announced_one_of_the_same_id() -> None:
    backend = Elsewhere(OPTIONS)
    backend.models = (FarModel("tiny"), FarModel("far-1"))
    listing = ModelRegistry([replace(local("tiny"), source="file")], [], None, backend.announced).poll()
    assert listing is not None
    assert [(card.id, card.owned_by, card.is_relayed) for card in listing.cards.values()] == [
        ("tiny", "myna", False),
        ("far-1", "elsewhere", True),
    ]

"""A call from its request to its last byte on a live server: what it opens is closed and counted, once."""

import asyncio
import json
import logging

import pytest
from tests.http.live import request_bytes, running
from tests.http.scripted import KEY, Ledger, ScriptedGenerator, Step, pool_of, services, words

from myna.core.errors import ContextLengthExceeded, GenerationFailed, Overloaded
from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta

WHOLE = b'{"model": "tiny"}'
STREAMED = b'{"model": "tiny", "stream": true}'


@pytest.mark.parametrize("body", [WHOLE, STREAMED])
async def test_a_call_is_closed_and_counted_once(body: bytes) -> None:
    generator, ledger = ScriptedGenerator([words("a", "b")]), Ledger()
    async with running(services(pool_of(generator), ledger)) as live:
        reply = await live.ask("POST", "/v1/words", body)
    assert reply.status == 200
    assert b"0:a" in reply.body
    (row,) = ledger.rows
    assert (row.outcome, row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (
        "completed",
        3,
        1,
        3,
    )
    assert row.id == reply.headers["x-request-id"]
    assert generator.streams[0].num_closed >= 1


@pytest.mark.parametrize("body", [WHOLE, STREAMED])
async def test_a_client_that_leaves_frees_its_generation(body: bytes) -> None:
    generator, ledger = ScriptedGenerator([[*words("a", "b")[:2], asyncio.Event()]]), Ledger()
    async with running(services(pool_of(generator), ledger)) as live:
        connection = await live.send(request_bytes("POST", "/v1/words", body))
        await generator.is_asked.wait()
        await connection.close()
        await ledger.is_written.wait()
    (row,) = ledger.rows
    assert (row.outcome, row.prompt_tokens) == ("cancelled", 3)
    assert generator.streams[0].num_closed == 1


@pytest.mark.parametrize("body", [WHOLE, STREAMED])
@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (ContextLengthExceeded("too long", param="messages", code="context_length_exceeded"), 400, None),
        (Overloaded("full", retry_after_s=2.0), 503, "server_is_overloaded"),
    ],
)
async def test_a_refused_generation_is_a_real_status(
    body: bytes, exc: Exception, status: int, code: str | None
) -> None:
    async with running(services(pool_of(ScriptedGenerator([exc])))) as live:
        reply = await live.ask("POST", "/v1/words", body)
    assert reply.status == status
    assert json.loads(reply.body)["error"]["code"] == (code or "context_length_exceeded")


async def test_a_failure_before_the_first_event_is_a_real_status_for_streams_too() -> None:
    generator, ledger = ScriptedGenerator([[GenerationFailed("nan")]]), Ledger()
    async with running(services(pool_of(generator), ledger)) as live:
        reply = await live.ask("POST", "/v1/words", STREAMED)
    assert reply.status == 500
    assert reply.headers["x-should-retry"] == "false"
    assert [row.outcome for row in ledger.rows] == ["failed"]


async def test_a_stream_has_its_headers_and_framing() -> None:
    async with running(services(pool_of(ScriptedGenerator([words("a")])))) as live:
        reply = await live.ask("POST", "/v1/words", STREAMED)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["transfer-encoding"] == "chunked"
    assert reply.headers["openai-organization"] == "myna"
    assert int(reply.headers["openai-processing-ms"]) >= 1
    assert reply.body == b"data: 0:a\n\ndata: end\n\ndata: [DONE]\n\n"


async def test_several_prompts_are_one_stream_with_their_choices_apart() -> None:
    scripts = [words(text) for text in ("a", "b", "c")]
    generator, ledger = ScriptedGenerator([*scripts]), Ledger()
    async with running(services(pool_of(generator), ledger)) as live:
        reply = await live.ask("POST", "/v1/words", b'{"model": "tiny", "prompts": 3}')
    assert sorted(
        reply.body.decode().replace("0:", " 0:").replace("1:", " 1:").replace("2:", " 2:").split()
    ) == [
        "0:a",
        "1:b",
        "2:c",
    ]
    (row,) = ledger.rows
    assert (row.prompt_tokens, row.completion_tokens) == (9, 6)


async def test_a_batch_larger_than_the_queue_waits_for_its_own_turn() -> None:
    scripts = [words("a") if i != 33 else Overloaded("full", retry_after_s=0.0) for i in range(41)]
    generator = ScriptedGenerator([*scripts])
    async with running(services(pool_of(generator))) as live:
        reply = await live.ask("POST", "/v1/words", b'{"model": "tiny", "prompts": 40}')
    assert reply.status == 200
    assert reply.body.count(b":a") == 40
    assert all(stream.num_closed for stream in generator.streams)


async def test_one_prompt_that_fails_ends_the_others() -> None:
    never = asyncio.Event()
    generator = ScriptedGenerator([[PromptDone(1, 0), never], [GenerationFailed("nan")]])
    async with running(services(pool_of(generator))) as live:
        reply = await live.ask("POST", "/v1/words", b'{"model": "tiny", "prompts": 2}')
    assert reply.status == 500
    assert all(stream.num_closed for stream in generator.streams)


async def test_one_prompt_that_is_refused_closes_those_admitted() -> None:
    generator = ScriptedGenerator([words("a"), Overloaded("full")])
    async with running(services(pool_of(generator))) as live:
        reply = await live.ask("POST", "/v1/words", b'{"model": "tiny", "prompts": 2}')
    assert reply.status == 503
    assert generator.streams[0].num_closed == 1


async def test_candidates_without_events_are_counted_from_the_end() -> None:
    ledger = Ledger()
    script: list[Step] = [PromptDone(3, 0), TextDelta(0, "a", 1), ChoiceDone(0, "stop", 1, 2), Done(8)]
    async with running(services(pool_of(ScriptedGenerator([script])), ledger)) as live:
        await live.ask("POST", "/v1/words", WHOLE)
    assert ledger.rows[0].completion_tokens == 8


async def test_the_log_has_one_line_per_request_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running(services(pool_of(ScriptedGenerator([words("very private")])))) as live:
        await live.ask("POST", "/v1/words", WHOLE, "X-Client-Request-Id: mine-1")
        await live.ask("GET", "/health")
        await live.ask("GET", "/v1/models", key="sk-somebody-elses-key")
    lines = [record.getMessage() for record in caplog.records if record.name == "myna.access"]
    assert len(lines) == 2
    assert "client_id=mine-1" in lines[0]
    assert "model=tiny prompt_tokens=3 cached_tokens=1 completion_tokens=2" in lines[0]
    assert "outcome=completed" in lines[0]
    assert "status=401" in lines[1]
    assert "private" not in caplog.text
    assert KEY not in caplog.text
    assert "somebody" not in caplog.text

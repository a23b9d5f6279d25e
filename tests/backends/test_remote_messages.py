"""Relayed requests of Anthropic's API: passed on as they are, and counted by its own usage."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.api.messages.wire import USER, events_of
from tests.backends.raw_upstream import (
    JSON_HEAD,
    STREAM_HEAD,
    Behave,
    Front,
    RawUpstream,
    fronting,
    head,
    listening,
    section,
    send,
)

PATH = "/v1/messages"
BODY = {"model": "near", "max_tokens": 9, "messages": [USER], "x_extension": {"deep": [1.5, None]}}
STARTED = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"far-1","id":"msg_1","usage":'
    b'{"input_tokens":3,"cache_creation_input_tokens":4,"cache_read_input_tokens":5,"output_tokens":1}}}\n\n'
)
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
TEXT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    b'"text":"\\"model\\":\\"x\\""}}\n\n'
)
ENDED = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"max_tokens",'
    b'"stop_sequence":null},"usage":{"output_tokens":7}}\n\n'
)
STOPPED = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
FAILED = (
    b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
)
WHOLE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"far-1","content":[{"type":"text","text":"a"}],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":5,"output_tokens":2}}'
)


@asynccontextmanager
async def serving(*behaviours: Behave, **settings: object) -> AsyncIterator[tuple[Front, RawUpstream]]:
    async with listening(RawUpstream(list(behaviours))) as upstream:
        entry = {"url": upstream.url, "models": ["far-1"], **settings}
        async with fronting(section(big=entry)) as front:
            yield front, upstream


async def test_a_stream_passes_as_it_is_and_the_ledger_has_the_upstream_s_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-ant-secret")
    events = STARTED + PING + TEXT + ENDED + STOPPED
    async with serving(send(STREAM_HEAD, events[:99], events[99:]), key_env="UPSTREAM_KEY") as (
        front,
        upstream,
    ):
        reply = await front.live.ask(
            "POST",
            PATH,
            json.dumps({**BODY, "stream": True}).encode(),
            "anthropic-version: 2026-10-21",
            "anthropic-beta: effort-2025-11-24,x",
        )
    assert reply.body == events.replace(b'"far-1"', b'"near"')
    (asked,) = upstream.requests
    assert asked.path == PATH
    assert asked.body == {**BODY, "stream": True, "model": "far-1"}
    assert asked.headers["x-api-key"] == "sk-ant-secret"
    assert asked.headers["anthropic-version"] == "2026-10-21"
    assert asked.headers["anthropic-beta"] == "effort-2025-11-24,x"
    (row,) = front.ledger.rows
    assert (row.endpoint, row.outcome) == ("messages", "completed")
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (12, 5, 7)


async def test_a_whole_message_is_the_upstream_s_bytes() -> None:
    async with serving(send(JSON_HEAD, WHOLE)) as (front, upstream):
        reply = await front.live.ask("POST", PATH, json.dumps(BODY).encode())
    assert reply.body == WHOLE.replace(b'"far-1"', b'"near"')
    assert upstream.requests[0].headers["anthropic-version"] == "2023-06-01"
    (row,) = front.ledger.rows
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (8, 5, 2)


async def test_an_error_in_the_stream_is_its_last_event_and_what_was_sent_is_counted() -> None:
    async with serving(send(STREAM_HEAD, STARTED + TEXT + FAILED)) as (front, _):
        reply = await front.live.ask("POST", PATH, json.dumps({**BODY, "stream": True}).encode())
    *_, last = events_of(reply.body.decode())
    assert last["error"]["type"] == "api_error"
    assert "Overloaded" in last["error"]["message"]
    (row,) = front.ledger.rows
    assert (row.outcome, row.completion_tokens) == ("failed", 1)


async def test_a_stream_that_breaks_off_ends_with_an_error() -> None:
    async with serving(send(STREAM_HEAD, STARTED + TEXT)) as (front, _):
        reply = await front.live.ask("POST", PATH, json.dumps({**BODY, "stream": True}).encode())
    assert events_of(reply.body.decode())[-1]["type"] == "error"


async def test_a_refusal_is_the_upstream_s_and_an_overload_is_one() -> None:
    refusal = b'{"type":"error","error":{"type":"invalid_request_error","message":"no"}}'
    async with serving(send(head(400, "application/json"), refusal)) as (front, _):
        refused = await front.live.ask("POST", PATH, json.dumps(BODY).encode())
    async with serving(send(head(529, "application/json"), b"{}")) as (front, _):
        overloaded = await front.live.ask("POST", PATH, json.dumps(BODY).encode())
    assert (refused.status, refused.body) == (400, refusal)
    assert overloaded.status == 529
    assert json.loads(overloaded.body)["error"]["type"] == "overloaded_error"


async def test_tokens_of_an_upstream_s_models_are_not_counted() -> None:
    async with serving(send(JSON_HEAD, WHOLE)) as (front, upstream):
        body = {"model": "far-1", "messages": [USER]}
        reply = await front.live.ask("POST", f"{PATH}/count_tokens", json.dumps(body).encode())
    assert reply.status == 404
    assert not upstream.requests

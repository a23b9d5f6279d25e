"""Requests that are relayed to an upstream: what it gets, what the client gets, and what is counted."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.backends.raw_upstream import (
    CHAT,
    DONE,
    EVENT,
    JSON_HEAD,
    LAST,
    STREAM_HEAD,
    USAGE,
    WHOLE,
    Behave,
    Front,
    RawUpstream,
    asking,
    fronting,
    head,
    listening,
    section,
    send,
    send_and_stall,
)
from tests.http.live import request_bytes

KEY_VARIABLE = "UPSTREAM_KEY"
KEY = "sk-upstream-secret"


@asynccontextmanager
async def serving(
    *behaviours: Behave, keep_alive_s: float = 10.0, **settings: object
) -> AsyncIterator[tuple[Front, RawUpstream]]:
    async with listening(RawUpstream(list(behaviours))) as upstream:
        entry = {"url": upstream.url, "models": ["far-1"], **settings}
        async with fronting(section(big=entry), keep_alive_s=keep_alive_s) as front:
            yield front, upstream


async def test_a_stream_passes_as_it_is_and_the_ledger_has_the_upstream_s_counts() -> None:
    odd = b'data: {"choices":[{"index":0,"delta":{"content":"\xe4\xbd\xa0"}}],"x":{"deep":[1.5]}}\n\n'
    async with serving(
        send(STREAM_HEAD, EVENT[:9], EVENT[9:] + odd, b": ping\n\n" + LAST + USAGE + DONE)
    ) as (
        front,
        upstream,
    ):
        body = asking(is_stream=True, stream_options={"include_usage": True}, x_extension=[None, {"a": 1.0}])
        reply = await front.live.ask("POST", CHAT, body)
    assert reply.status == 200
    assert reply.body == EVENT + odd + b": ping\n\n" + LAST + USAGE + DONE
    (asked,) = upstream.requests
    assert asked.body == json.loads(body)
    assert asked.path == "/v1/chat/completions"
    (row,) = front.ledger.rows
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (7, 2, 3)
    assert (row.outcome, row.status, row.model) == ("completed", 200, "far-1")
    assert asked.headers["x-client-request-id"] == row.id == reply.headers["x-request-id"]
    assert f"req_{asked.headers['x-request-id']}" == row.id
    assert row.first_token_ms is not None


async def test_usage_is_asked_for_and_hidden_from_a_client_that_did_not_ask() -> None:
    with_null = EVENT.replace(b"}\n\n", b',"usage":null}\n\n')
    async with serving(send(STREAM_HEAD, with_null, LAST, USAGE, DONE)) as (front, upstream):
        reply = await front.live.ask("POST", CHAT, asking(is_stream=True))
    assert reply.body == EVENT + LAST + DONE
    assert upstream.requests[0].body["stream_options"] == {"include_usage": True}
    assert [(row.prompt_tokens, row.completion_tokens) for row in front.ledger.rows] == [(7, 3)]


async def test_an_upstream_that_refuses_stream_options_is_asked_without_and_its_events_are_counted() -> None:
    refusal = send(head(400, "application/json"), b'{"error":{"message":"stream_options?"}}')
    async with serving(refusal, send(STREAM_HEAD, EVENT, EVENT, LAST, DONE)) as (front, upstream):
        for _ in range(2):
            reply = await front.live.ask("POST", CHAT, asking(is_stream=True))
            assert reply.body == EVENT + EVENT + LAST + DONE
    assert ["stream_options" in asked.body for asked in upstream.requests] == [True, False, False]
    estimated = 6  # a quarter of the bytes of names and values
    counted = [(row.prompt_tokens, row.completion_tokens) for row in front.ledger.rows]
    assert counted == [(estimated, 2), (estimated, 2)]


async def test_a_whole_answer_is_the_upstream_s_bytes() -> None:
    async with serving(send(JSON_HEAD, WHOLE[:5], WHOLE[5:])) as (front, upstream):
        reply = await front.live.ask("POST", CHAT, asking(is_stream=False))
    assert (reply.status, reply.body) == (200, WHOLE)
    assert "stream_options" not in upstream.requests[0].body
    assert [(row.prompt_tokens, row.completion_tokens) for row in front.ledger.rows] == [(7, 3)]


async def test_embeddings_pass_as_they_are_and_count_as_prompt_tokens() -> None:
    answer = (
        b'{"object":"list","data":[{"embedding":"AACAPw=="}],"model":"far-1","usage":{"prompt_tokens":7}}'
    )
    async with serving(send(JSON_HEAD, answer)) as (front, upstream):
        body = json.dumps({"model": "near", "input": ["a"], "input_type": "query"}).encode()
        reply = await front.live.ask("POST", "/v1/embeddings", body)
    assert reply.body == answer.replace(b"far-1", b"near")
    assert upstream.requests[0].path == "/v1/embeddings"
    assert upstream.requests[0].body == {"model": "far-1", "input": ["a"], "input_type": "query"}
    (row,) = front.ledger.rows
    assert (row.endpoint, row.prompt_tokens, row.completion_tokens) == ("embeddings", 7, 0)


async def test_moderations_pass_without_a_guard_model_here() -> None:
    answer = b'{"id":"modr-1","model":"far-1","results":[{"flagged":false}]}'
    async with serving(send(JSON_HEAD, answer)) as (front, upstream):
        body = json.dumps({"model": "near", "input": ["I like birds."]}).encode()
        reply = await front.live.ask("POST", "/v1/moderations", body)
        unnamed = await front.live.ask("POST", "/v1/moderations", b'{"input": "a"}')
    assert (reply.status, reply.body) == (200, answer.replace(b"far-1", b"near"))
    assert upstream.requests[0].path == "/v1/moderations"
    assert upstream.requests[0].body == {"model": "far-1", "input": ["I like birds."]}
    row = front.ledger.rows[0]
    assert (row.endpoint, row.completion_tokens, row.outcome) == ("moderations", 0, "completed")
    assert unnamed.status == 404 and b"the setting `moderation`" in unnamed.body


async def test_an_alias_asks_for_the_upstream_s_model_and_is_echoed() -> None:
    event = EVENT.replace(b'"id":"c"', b'"id":"c","model":"far-1-2026\\"x"').replace(
        b'"bird"', b'"the \\"model\\":\\"far-1\\""'
    )
    whole = WHOLE.replace(b'"id":"c"', b'"model" : "far-1"')
    async with serving(send(STREAM_HEAD, event, LAST, DONE), send(JSON_HEAD, whole)) as (front, upstream):
        stream = await front.live.ask("POST", CHAT, asking(is_stream=True, model="near"))
        answer = await front.live.ask("POST", CHAT, asking(is_stream=False, model="near"))
    assert stream.body == event.replace(b'"far-1-2026\\"x"', b'"near"') + LAST + DONE
    assert answer.body == whole.replace(b'"far-1"', b'"near"')
    assert [asked.body["model"] for asked in upstream.requests] == ["far-1", "far-1"]
    assert [(row.model, row.asked_model) for row in front.ledger.rows] == [("far-1", "near")] * 2


async def test_only_myna_s_own_key_and_headers_go_to_the_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, f"{KEY}\n")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(send(JSON_HEAD, WHOLE), key_env=KEY_VARIABLE) as (front, upstream):
        reply = await front.live.ask("POST", CHAT, asking(is_stream=False), "Cookie: a=b", "X-Client: c")
        assert KEY not in repr(front.backend.__dict__)
    assert reply.status == 200
    (asked,) = upstream.requests
    assert asked.headers.pop("user-agent").startswith("myna/")
    assert asked.headers.pop("x-client-request-id") == f"req_{asked.headers.pop('x-request-id')}"
    assert asked.headers == {
        "host": upstream.url.split("/")[2],
        "authorization": f"Bearer {KEY}",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": asked.headers["content-length"],
    }


async def test_an_upstream_without_its_key_is_not_asked_and_the_error_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(send(JSON_HEAD, WHOLE), key_env="NO_SUCH_VARIABLE") as (front, upstream):
        reply = await front.live.ask("POST", CHAT, asking(is_stream=False))
    assert reply.status == 502
    assert "'big' can't be asked, because this server has no key for it" in reply.body.decode()
    assert "NO_SUCH_VARIABLE is empty or not set" in caplog.text
    assert not upstream.requests


async def test_connections_are_kept_for_the_next_request() -> None:
    chunked = b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = EVENT + LAST + DONE

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await send(chunked, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))(reader, writer)
        await again.wait()

    again = asyncio.Event()
    async with serving(twice) as (front, upstream):
        assert (await front.live.ask("POST", CHAT, asking(is_stream=True))).body == body
        pool = front.backend.balancer.upstreams[0]._pool
        assert pool is not None
        assert pool.num_idle == 1
        again.set()
    assert upstream.num_connections == 1


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_client_that_leaves_closes_its_upstream_connection(is_stream: bool) -> None:
    """That it has left shows when something is sent to it: a keep-alive, where the upstream is silent."""
    first = STREAM_HEAD + EVENT if is_stream else JSON_HEAD
    async with serving(send_and_stall(first), keep_alive_s=0.01) as (front, upstream):
        connection = await front.live.send(request_bytes("POST", CHAT, asking(is_stream=is_stream)))
        if is_stream:
            await connection.head()
        await upstream.is_asked.wait()
        await connection.close()
        await upstream.is_left.wait()
        await front.ledger.is_written.wait()
        assert front.backend.balancer.upstreams[0].num_running == 0
    assert [row.outcome for row in front.ledger.rows] == ["cancelled"]


async def test_models_that_match_are_listed_with_the_local_ones_and_can_t_be_deleted() -> None:
    async with listening(RawUpstream([send()], models=("far-1", "far-2", "other"))) as upstream:
        entry: dict[str, object] = {"url": upstream.url, "models": ["far-*", "sure"]}
        async with fronting(section(big=entry), is_started=True) as front:
            assert [model.id for model in front.backend.announced()] == ["sure"]
            assert [front.backend.may_announce(name) for name in ("far-9", "sure", "other")] == [
                True,
                True,
                False,
            ]
            await front.backend.balancer.upstreams[0].list_models()
            front.backend.announce()
            listed = json.loads((await front.live.ask("GET", "/v1/models")).body)["data"]
            reply = await front.live.ask("DELETE", "/v1/models/far-1")
    assert [(model["id"], model["owned_by"], model["created"]) for model in listed] == [
        ("sure", "big", 0),
        ("far-1", "big", 5),
        ("far-2", "big", 5),
        ("near", "big", 5),
    ]
    assert reply.status == 403

"""Requests that no honest client sends: each gets a 4xx with OpenAI's envelope, and the server lives."""

import asyncio
import json

import pytest
from tests.http.live import Live, request_bytes, running
from tests.http.scripted import KEY, ScriptedGenerator, pool_of, services, words

from myna.app import HttpOptions

HEAD = f"Host: a\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n".encode()
RAW = [
    b"GET\r\n\r\n",
    b"GET /v1/models\r\n\r\n",
    b"GET /v1/models HTTP/9.9\r\n" + HEAD + b"\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\n" + HEAD + b"X: a\x00b\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\n: nameless\r\n\r\n",
    b"GET /v1/\xff\xfe HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"GET /v1/models/%zz HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"GET /v1/models/%ff%fe HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"GET /v1/models/%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"GET /v1/../../etc/passwd HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"GET //v1/models HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"GET http://evil.example/v1/nothing HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"BREW /v1/models HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"TRACE /v1/models HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"POST /v1/words HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n",
    b"POST /v1/words HTTP/1.1\r\n" + HEAD + b"Content-Length: 9e9\r\n\r\n",
    b"POST /v1/words HTTP/1.1\r\n" + HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /v1/words HTTP/1.1\r\n"
    + HEAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/words HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\n" + HEAD + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nX-Client-Request-Id: \xff\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]
BODIES = [
    b"\xff\xfe{}",
    b'{"model": "\\ud800"}',
    b'{"model": NaN}',
    b"[" * 100_000,
    b'{"model": ' * 5000,
    b'{"model": 1e999}',
    b'{"model": {"$ne": null}}',
    b'{"model": ["tiny"]}',
    b'{"model": "\\u0000"}',
    b'{"model": true, "model": null}',
    b"null",
    b'"tiny"',
]


@pytest.mark.parametrize("raw", RAW, ids=[raw[:48].decode("latin-1") for raw in RAW])
async def test_a_malformed_request_is_a_4xx(raw: bytes) -> None:
    async with running(services(pool_of(ScriptedGenerator([words("a")])))) as live:
        connection = await live.send(raw)
        answer = await connection.reader.read()
        await connection.close()
        assert (await live.ask("GET", "/health")).status == 200
    _assert_honest(answer)


@pytest.mark.parametrize("body", BODIES, ids=[str(body[:24]) for body in BODIES])
async def test_a_malformed_body_is_a_4xx(body: bytes) -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        reply = await live.ask("POST", "/v1/words", body)
    assert 400 <= reply.status < 500
    assert set(json.loads(reply.body)["error"]) == {"message", "type", "param", "code"}


async def test_a_header_of_a_client_never_becomes_one_of_ours() -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        reply = await live.ask("POST", "/v1/words", b'{"model": "x\\r\\nSet-Cookie: a=b"}')
    assert "set-cookie" not in reply.headers
    assert "x-myna-hint" in reply.headers


async def test_requests_beyond_what_the_process_takes_are_sent_away() -> None:
    more = asyncio.Event()
    generator = ScriptedGenerator([[more, *words("a")]])
    async with running(services(pool_of(generator)), HttpOptions(max_running=1)) as live:
        first = asyncio.create_task(_say(live))
        await generator.is_asked.wait()
        second = await live.ask("GET", "/v1/models")
        alive = await live.ask("GET", "/health")
        more.set()
        await first
        third = await live.ask("GET", "/v1/models")
    assert (second.status, alive.status, third.status) == (503, 200, 200)
    assert second.headers["x-should-retry"] == "true"


async def test_requests_on_one_connection_are_answered_in_their_order() -> None:
    async with running(services(pool_of(ScriptedGenerator([words("a")])))) as live:
        first = request_bytes("POST", "/v1/words", b'{"model": "tiny"}').replace(
            b"Connection: close\r\n", b""
        )
        connection = await live.send(first + request_bytes("GET", "/v1/models/tiny"))
        answer = await connection.reader.read()
        await connection.close()
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(b"0:a") < answer.index(b'"id": "tiny"')


async def _say(live: Live) -> None:
    await live.ask("POST", "/v1/words", b'{"model": "tiny"}')


def _assert_honest(answer: bytes) -> None:
    status = int(answer.split(b" ", 2)[1])
    assert 400 <= status < 500
    body = answer.split(b"\r\n\r\n", 1)[1]
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


async def test_garbage_behind_a_request_never_gets_into_its_answer() -> None:
    more, steps = asyncio.Event(), words("a", "b")
    generator = ScriptedGenerator([[*steps[:2], more, *steps[2:]]])
    async with running(services(pool_of(generator))) as live:
        connection = await live.send(request_bytes("POST", "/v1/words", b'{"model": "tiny", "stream": true}'))
        await connection.head()
        assert await connection.chunk() == b"data: 0:a\n\n"
        connection.writer.write(b"\x00garbage\r\n\r\n")
        assert (await live.ask("GET", "/health")).status == 200  # by now the garbage has been read
        more.set()
        rest = await connection.reader.read()
        await connection.close()
    assert b"HTTP/1.1" not in rest


async def test_a_client_that_leaves_within_its_body_is_not_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        whole = request_bytes("POST", "/v1/words", b'{"model": "tiny"}')
        connection = await live.send(whole[:-4])
        assert (await live.ask("GET", "/health")).status == 200
        await connection.close()
    assert "Traceback" not in caplog.text

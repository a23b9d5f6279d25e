"""What HTTP libraries send that is unusual but right: upgrades, HTTP/1.0, half-closed connections."""

import asyncio
import json
from itertools import pairwise

import pytest
from tests.http.live import Live, request_bytes, running
from tests.http.scripted import Ledger, ScriptedGenerator, pool_of, services, words

BODY = b'{"model": "tiny"}'
# Java's HttpClient sends these with every first request to an http:// address.
H2C = (
    "Connection: Upgrade, HTTP2-Settings",
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    "Upgrade: h2c",
)


def _upgrading(body: bytes = BODY, *headers: str) -> bytes:
    return request_bytes("POST", "/v1/words", body, *H2C, *headers).replace(b"Connection: close\r\n", b"")


async def _in_pieces(live: Live, *pieces: bytes) -> bytes:
    """The answer to a request that arrives in these segments; the server reads each before the next."""
    connection = await live.send(pieces[0])
    for piece in pieces[1:]:
        assert (await live.ask("GET", "/health")).status == 200  # by now the piece before has been read
        connection.writer.write(piece)
    status, headers = await connection.head()
    body = await connection.reader.readexactly(int(headers["content-length"]))
    await connection.close()
    assert status == 200
    return body


@pytest.mark.parametrize("cuts", [(), (0,), (-4,), (3,), (-200, -90, 0, 14)])
async def test_a_request_to_upgrade_to_h2c_keeps_its_body(cuts: tuple[int, ...]) -> None:
    """The segments end at these places, counted from the body's start."""
    whole = _upgrading()
    ends = [len(whole) - len(BODY) + cut for cut in cuts]
    pieces = [whole[start:end] for start, end in pairwise([0, *ends, len(whole)])]
    async with running(services(pool_of(ScriptedGenerator([words("a", "b")])))) as live:
        assert await _in_pieces(live, *pieces) == b"0:a0:b"


async def test_a_chunked_body_of_an_upgrade_is_read_too() -> None:
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    whole = _upgrading(chunked, "Transfer-Encoding: chunked")
    async with running(services(pool_of(ScriptedGenerator([words("a"), words("b")])))) as live:
        assert await _in_pieces(live, whole) == b"0:a"
        assert await _in_pieces(live, whole[:-30], whole[-30:]) == b"0:b"


async def test_upgrades_on_one_connection_are_answered_in_their_order() -> None:
    last = request_bytes("POST", "/v1/words", BODY)
    get = _upgrading(b"").replace(b"POST /v1/words", b"GET /v1/models/tiny")
    async with running(services(pool_of(ScriptedGenerator([words("a"), words("b"), words("c")])))) as live:
        connection = await live.send(_upgrading() + get + _upgrading() + last)
        answer = await connection.reader.read()
        await connection.close()
    assert answer.count(b"HTTP/1.1 200") == 4
    order = [answer.index(text) for text in (b"0:a", b'"id": "tiny"', b"0:b", b"0:c")]
    assert order == sorted(order)


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: +5",),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    ],
)
async def test_an_upgrade_hides_no_ambiguous_length(headers: tuple[str, ...]) -> None:
    smuggled = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"
    raw = _upgrading(b"0\r\n\r\n" + smuggled, *headers)
    generator = ScriptedGenerator([words("a")])
    async with running(services(pool_of(generator))) as live:
        connection = await live.send(raw)
        answer = await connection.reader.read()
        await connection.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert generator.requests == []


async def test_the_bytes_of_an_upgrades_body_are_not_a_request() -> None:
    smuggled = b'{"model": "x"}\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n'
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        connection = await live.send(_upgrading(smuggled) + request_bytes("GET", "/health"))
        answer = await connection.reader.read()
        await connection.close()
    assert answer.count(b"HTTP/1.1") == 2


async def test_a_long_head_of_an_upgrade_is_refused() -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        connection = await live.send(_upgrading(BODY, "X-Long: " + "a" * 70_000))
        assert (await connection.reply()).status == 431


async def test_http_1_0_gets_a_stream_without_chunks() -> None:
    body = b'{"model": "tiny", "stream": true}'
    old = request_bytes("POST", "/v1/words", body).replace(b"HTTP/1.1", b"HTTP/1.0")
    async with running(services(pool_of(ScriptedGenerator([words("a", "b")] * 2)))) as live:
        reply = await (await live.send(old)).reply()
        whole = await (await live.send(old.replace(body, BODY).replace(b"33", b"17"))).reply()
    assert "transfer-encoding" not in reply.headers
    assert reply.headers["connection"] == "close"
    assert reply.body == b"data: 0:a\n\ndata: 0:b\n\ndata: end\n\ndata: [DONE]\n\n"
    assert (whole.headers["content-length"], whole.body) == ("6", b"0:a0:b")


async def test_nginx_is_asked_not_to_buffer_a_stream() -> None:
    async with running(services(pool_of(ScriptedGenerator([words("a")] * 2)))) as live:
        stream = await live.ask("POST", "/v1/words", b'{"model": "tiny", "stream": true}')
        whole = await live.ask("POST", "/v1/words", BODY)
    assert stream.headers["x-accel-buffering"] == "no"
    assert "x-accel-buffering" not in whole.headers


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_client_that_closed_its_own_side_gets_its_answer(is_stream: bool) -> None:
    more, steps = asyncio.Event(), words("a", "b")
    generator = ScriptedGenerator([[more, *steps]])
    body = json.dumps({"model": "tiny", "stream": is_stream}).encode()
    request = request_bytes("POST", "/v1/words", body).replace(b"Connection: close\r\n", b"")
    async with running(services(pool_of(generator))) as live:
        connection = await live.send(request)
        await generator.is_asked.wait()
        connection.writer.write_eof()
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        more.set()
        answer = await connection.reader.read()
        await connection.close()
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"0:b" in answer
    assert b"connection: close" in answer


async def test_requests_sent_before_closing_one_side_are_all_answered() -> None:
    request = request_bytes("GET", "/v1/models/tiny").replace(b"Connection: close\r\n", b"")
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        connection = await live.send(request * 3)
        connection.writer.write_eof()
        answer = await connection.reader.read()
        await connection.close()
    assert answer.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_client_that_is_gone_is_not_taken_for_one_that_waits(is_stream: bool) -> None:
    generator = ScriptedGenerator([[asyncio.Event()]])
    body = json.dumps({"model": "tiny", "stream": is_stream}).encode()
    ledger = Ledger()
    async with running(services(pool_of(generator), ledger)) as live:
        connection = await live.send(request_bytes("POST", "/v1/words", body))
        await generator.is_asked.wait()
        await connection.close()
        await ledger.is_written.wait()
    assert generator.streams[0].num_closed
    assert [row.outcome for row in ledger.rows] == ["cancelled"]


async def test_a_request_without_its_whole_body_ends_with_the_connection() -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        connection = await live.send(request_bytes("POST", "/v1/words", BODY)[:-3])
        connection.writer.write_eof()
        assert await connection.reader.read() == b""
        await connection.close()


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "zstd"])
async def test_a_compressed_body_is_refused_by_name(encoding: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([words("a")])))) as live:
        reply = await live.ask("POST", "/v1/words", b"\x1f\x8b", f"Content-Encoding: {encoding}")
        plain = await live.ask("POST", "/v1/words", BODY, "Content-Encoding: identity")
    assert reply.status == 415
    assert reply.headers["accept-encoding"] == "identity"
    error = json.loads(reply.body)["error"]
    assert error["code"] == "unsupported_content_encoding"
    assert f"'{encoding}'" in error["message"]
    assert plain.status == 200


@pytest.mark.parametrize("url", ["http://localhost/v1/models", "HTTP://LOCALHOST/v1/models?x=a://b"])
async def test_a_url_with_the_servers_host_is_answered(url: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        assert (await live.ask("GET", url, b"", "Host: localhost")).status == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/v1/models",
        "http://localhost@evil.example/v1/models",
        "http://localhost:1/v1/models",
    ],
)
async def test_a_url_with_another_host_is_refused(url: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        reply = await live.ask("GET", url, b"", "Host: localhost")
    assert reply.status == 400
    assert "two hosts" in json.loads(reply.body)["error"]["message"]

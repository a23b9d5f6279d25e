"""Upstreams that fail in every way: each is a documented error and a row of the ledger, and nothing hangs."""

import asyncio
import gzip
import json

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
    repeat,
    section,
    send,
    send_and_reset,
    send_and_stall,
)

STREAM_AND_WHOLE = [True, False]
FAST = 1.0  # a time limit that tests wait for; a busy machine must accept a connection within it
CHUNKED = b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def trickle(first: bytes) -> Behave:
    """A byte now and then, so that there is never silence."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await send(first)(reader, writer)
        left = asyncio.create_task(reader.read())
        while not left.done():
            await send(b"x")(reader, writer)
            await asyncio.wait([left], timeout=FAST / 10)

    return behave


async def nothing_is_left(front: Front) -> None:
    await front.ledger.is_written.wait()
    (upstream,) = front.backend.balancer.upstreams
    assert upstream.num_running == 0
    pool = upstream._pool
    assert pool is None or pool.num_open == pool.num_idle
    assert not [task for task in asyncio.all_tasks() if "RelayedStream" in repr(task)]


BEFORE_THE_ANSWER = {
    "closes before the head": (send(), 502, "broke off"),
    "half a head": (send(b"HTTP/1.1 200 X\r\nContent-Ty"), 502, "broke off"),
    "endless head": (repeat(b"HTTP/1.1 200 X\r\n", b"X-More: more\r\n" * 64), 502, "broke off"),
    "no HTTP": (send(b"SSH-2.0-x\r\n\r\n"), 502, "broke off"),
    "never answers": (send_and_stall(), 504, "did not answer within"),
    "a head byte by byte": (trickle(b"HTTP/1.1 200 X\r\n"), 504, "did not answer within"),
    "500 with HTML": (send(head(500, "text/html"), b"<h1>Oops</h1>"), 502, "status 500"),
    "redirect": (send(head(302, "text/html", "Location: http://127.0.0.1:1/")), 502, "status 302"),
    "401": (send(head(401, "application/json"), b'{"error":{}}'), 502, "refuses Myna's key"),
    "404 with HTML": (send(head(404, "text/html"), b"<h1>No</h1>"), 502, "as if its url were wrong"),
    "200 with HTML": (send(head(200, "text/html"), b"<h1>Hi</h1>"), 502, "answered with text/html"),
    "a refusal without end": (repeat(head(400, "application/json"), b"x" * 4096), 502, "no JSON"),
    "gzip": (
        send(head(200, "application/json", "Content-Encoding: gzip"), gzip.compress(WHOLE)),
        502,
        "compresses its answers",
    ),
}


@pytest.mark.parametrize("is_stream", STREAM_AND_WHOLE)
@pytest.mark.parametrize("name", BEFORE_THE_ANSWER)
async def test_a_failure_before_the_answer_is_a_status_that_names_the_upstream(
    name: str, is_stream: bool
) -> None:
    behave, status, said = BEFORE_THE_ANSWER[name]
    async with listening(RawUpstream([behave])) as upstream:
        entry: dict[str, object] = {"url": upstream.url, "models": ["far-1"], "timeout": FAST}
        if status != 504:
            entry["timeout"] = 60
        async with fronting(section(big=entry)) as front:
            reply = await front.live.ask("POST", CHAT, asking(is_stream=is_stream))
            await nothing_is_left(front)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (
        status,
        "upstream_timeout" if status == 504 else "upstream_failed",
    )
    assert "'big'" in error["message"]
    assert said in error["message"]
    assert upstream.url not in error["message"]
    (row,) = front.ledger.rows
    assert (row.outcome, row.status, row.completion_tokens) == ("failed", status, 0)


WHOLE_ANSWERS = {
    "broken JSON": (send(JSON_HEAD, WHOLE[:-3]), 502, "invalid JSON"),
    "no object": (send(JSON_HEAD, b"[1]"), 502, "not a JSON object"),
    "an error as an answer": (send(JSON_HEAD, b'{"error":{"message":"no luck"}}'), 502, "no luck"),
    "half a body": (
        send(head(200, "application/json", "Content-Length: 9999"), WHOLE),
        502,
        "broke off",
    ),
    "a reset": (
        send_and_reset(head(200, "application/json", "Content-Length: 9999"), WHOLE),
        502,
        "broke off",
    ),
    "a body without end": (repeat(JSON_HEAD, b" " * 65536), 502, "sent more than 32 MiB"),
    "a body byte by byte": (trickle(JSON_HEAD), 504, "sent nothing for"),
}


@pytest.mark.parametrize("name", WHOLE_ANSWERS)
async def test_a_whole_answer_that_can_t_be_used_is_an_error(name: str) -> None:
    behave, status, said = WHOLE_ANSWERS[name]
    async with listening(RawUpstream([behave])) as upstream:
        timeout = FAST if status == 504 else 60
        entry: dict[str, object] = {"url": upstream.url, "models": ["far-1"], "timeout": timeout}
        async with fronting(section(big=entry)) as front:
            reply = await front.live.ask("POST", CHAT, asking(is_stream=False))
            await nothing_is_left(front)
    assert (reply.status, said in reply.body.decode()) == (status, True)
    assert [(row.outcome, row.status) for row in front.ledger.rows] == [("failed", status)]


HALF_STREAMS = {
    "stalls": (send_and_stall(STREAM_HEAD, EVENT), "sent nothing for"),
    "an event byte by byte": (trickle(STREAM_HEAD + EVENT + b"data: "), "sent nothing for"),
    "resets": (send_and_reset(CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT)), "broke off"),
    "lies about a chunk": (send(CHUNKED + b"%x\r\n%b" % (len(EVENT) + 9, EVENT)), "'big'"),
    "ends halfway": (send(STREAM_HEAD, EVENT), "ended its stream early"),
    "garbage": (send(STREAM_HEAD, EVENT, b"<h1>Oops</h1>\n\n"), "invalid event stream"),
    "broken JSON": (send(STREAM_HEAD, EVENT + b'data: {"choices":[\n\n' + LAST), "invalid JSON"),
    "an endless event": (repeat(STREAM_HEAD + EVENT, b"data: " + b"x" * 65536), "does not end"),
    "an error": (send(STREAM_HEAD, EVENT, b'data: {"error":{"message":"no luck"}}\n\n', DONE), "no luck"),
}


@pytest.mark.parametrize("name", HALF_STREAMS)
async def test_a_stream_that_fails_ends_with_an_error_after_what_came(name: str) -> None:
    behave, said = HALF_STREAMS[name]
    async with listening(RawUpstream([behave])) as upstream:
        is_slow = said == "sent nothing for"
        entry: dict[str, object] = {
            "url": upstream.url,
            "models": ["far-1"],
            "timeout": FAST if is_slow else 60,
        }
        async with fronting(section(big=entry)) as front:
            reply = await front.live.ask("POST", CHAT, asking(is_stream=True))
            await nothing_is_left(front)
    assert reply.status == 200
    assert reply.body.startswith(EVENT)
    error, end, rest = reply.body.removeprefix(EVENT).split(b"\n\n")
    assert said in json.loads(error.removeprefix(b"data: "))["error"]["message"]
    assert (end, rest) == (b"data: [DONE]", b"")
    (row,) = front.ledger.rows
    assert (row.outcome, row.completion_tokens) == ("failed", 1)
    assert row.error in ("UpstreamFailed", "UpstreamTimeout")


async def test_a_refusal_of_the_request_is_the_client_s_own_answer() -> None:
    body = b'{"error": {"message": "too fast", "type": "requests"}}\n'
    refuse = send(head(429, "application/json", "Retry-After: 7", "x-ratelimit-limit-requests: 3"), body)
    async with (
        listening(RawUpstream([refuse])) as upstream,
        fronting(section(big={"url": upstream.url, "models": ["far-1"]})) as front,
    ):
        reply = await front.live.ask("POST", CHAT, asking(is_stream=True))
        assert front.backend.balancer.upstreams[0].cooldown.until == 7
    assert (reply.status, reply.body, reply.headers["retry-after"]) == (429, body, "7")
    assert "x-ratelimit-limit-requests" not in reply.headers
    assert [(row.outcome, row.status) for row in front.ledger.rows] == [("refused", 429)]


@pytest.mark.parametrize(
    "behave",
    [
        send(STREAM_HEAD, EVENT, LAST, USAGE),
        send(b"HTTP/1.1 100 Continue\r\n\r\n" + STREAM_HEAD, EVENT, LAST, USAGE, DONE),
        send(STREAM_HEAD, (EVENT + LAST + USAGE + DONE).replace(b"\n", b"\r\n")),
        send(STREAM_HEAD, EVENT + LAST + USAGE + DONE + b"after the end"),
    ],
    ids=["no [DONE]", "100 Continue", "CRLF", "more after the end"],
)
async def test_what_is_only_unusual_is_answered(behave: Behave) -> None:
    async with (
        listening(RawUpstream([behave])) as upstream,
        fronting(section(big={"url": upstream.url, "models": ["far-1"]})) as front,
    ):
        reply = await front.live.ask("POST", CHAT, asking(is_stream=True))
    assert reply.body == EVENT + LAST + DONE
    assert [(row.outcome, row.completion_tokens) for row in front.ledger.rows] == [("completed", 3)]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_upstream_that_is_not_there_or_speaks_no_tls(scheme: str) -> None:
    async with listening(RawUpstream([send(JSON_HEAD, WHOLE)])) as upstream:
        url = upstream.url.replace("http:", "https:") if scheme == "https" else "http://127.0.0.1:1/v1"
        async with fronting(section(big={"url": url, "models": ["far-1"]})) as front:
            reply = await front.live.ask("POST", CHAT, asking(is_stream=False))
    assert (reply.status, "'big' can't be reached" in reply.body.decode()) == (502, True)

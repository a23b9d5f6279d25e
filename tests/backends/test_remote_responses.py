"""Requests to the Responses API that are relayed: events pass as they are, usage is found in their shape."""

import json
from typing import Any

import pytest
from tests.api.responses.reading import events_of
from tests.backends.raw_upstream import JSON_HEAD, STREAM_HEAD, head, send
from tests.backends.test_remote import serving

PATH = "/v1/responses"
USAGE = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 2},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 10,
}
RESPONSE = {"id": "resp_1", "object": "response", "status": "in_progress", "error": None, "model": "far-1"}


def event(number: int, kind: str, **body: Any) -> bytes:
    data = json.dumps({"type": kind, **dict(sorted({**body, "sequence_number": number}.items()))})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def asking(**body: Any) -> bytes:
    return json.dumps({"model": "far-1", "input": "x", **body}).encode()


CREATED = event(0, "response.created", response=RESPONSE)
DELTA = event(1, "response.output_text.delta", delta="bird", item_id="msg_1")
COMPLETED = event(2, "response.completed", response={**RESPONSE, "status": "completed", "usage": USAGE})


async def test_a_stream_passes_as_it_is_and_the_ledger_has_the_upstreams_counts() -> None:
    answers = send(STREAM_HEAD, CREATED + DELTA[:20], DELTA[20:] + COMPLETED)
    async with serving(answers) as (front, upstream):
        reply = await front.live.ask("POST", PATH, asking(stream=True, tools=[{"type": "web_search"}]))
    assert reply.status == 200
    assert reply.body == CREATED + DELTA + COMPLETED
    assert upstream.requests[0].path == PATH
    (row,) = front.ledger.rows
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (7, 2, 3)
    assert (row.endpoint, row.outcome) == ("responses", "completed")
    assert row.reasoning_tokens == 1


async def test_a_whole_response_passes_under_the_name_that_was_asked_for() -> None:
    body = json.dumps({**RESPONSE, "status": "incomplete", "usage": USAGE}).encode()
    async with serving(send(JSON_HEAD, body)) as (front, _):
        reply = await front.live.ask("POST", PATH, asking(model="near"))
    assert json.loads(reply.body) == {**json.loads(body), "model": "near"}
    (row,) = front.ledger.rows
    assert (row.prompt_tokens, row.completion_tokens) == (7, 3)


async def test_a_compaction_is_the_upstreams() -> None:
    body = json.dumps({"id": "resp_1", "object": "response.compaction", "output": [], "usage": USAGE})
    async with serving(send(JSON_HEAD, body.encode())) as (front, upstream):
        reply = await front.live.ask("POST", f"{PATH}/compact", asking())
    assert json.loads(reply.body) == json.loads(body)
    assert upstream.requests[0].path == f"{PATH}/compact"
    (row,) = front.ledger.rows
    assert (row.endpoint, row.prompt_tokens, row.completion_tokens) == ("responses", 7, 3)


async def test_an_upstream_that_can_not_compact_says_so_itself() -> None:
    error = {"error": {"message": "No such route.", "type": "x", "param": None, "code": None}}
    refusal = head(404, "application/json")
    async with serving(send(refusal, json.dumps(error).encode())) as (front, _):
        reply = await front.live.ask("POST", f"{PATH}/compact", asking())
    assert (reply.status, json.loads(reply.body)["error"]["message"]) == (404, "No such route.")


@pytest.mark.parametrize(
    "sent", [CREATED + DELTA, CREATED + DELTA + event(2, "error", error={"message": "x"})]
)
async def test_a_stream_that_breaks_off_fails_as_one_of_ours_does(sent: bytes) -> None:
    async with serving(send(STREAM_HEAD, sent)) as (front, _):
        reply = await front.live.ask("POST", PATH, asking(stream=True))
    created, delta, error, failed = events_of(reply.body.decode())
    assert (created["type"], delta["type"]) == ("response.created", "response.output_text.delta")
    assert (error["type"], error["error"]["code"]) == ("error", "upstream_failed")
    assert failed["type"] == "response.failed"
    assert failed["response"]["id"] == "resp_1"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"]["code"] == "server_error"
    (row,) = front.ledger.rows
    assert row.completion_tokens == 1


async def test_an_upstreams_refusal_is_the_clients() -> None:
    refusal = b'{"error": {"message": "no", "type": "invalid_request_error", "param": null, "code": null}}'
    async with serving(send(head(400, "application/json"), refusal)) as (front, _):
        reply = await front.live.ask("POST", PATH, asking())
    assert (reply.status, reply.body) == (400, refusal)

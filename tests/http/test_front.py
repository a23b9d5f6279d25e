"""What stands before every endpoint, on a live server: keys, bodies, limits, and in which order."""

import asyncio
import json
import re

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.http.live import running
from tests.http.scripted import KEY, ScriptedGenerator, pool_of, services, words

from myna.app import HttpOptions
from myna.http.body_limit import BodyLimit
from myna.request.auth import NO_KEY_TEXT, UNPARSABLE_TEXT
from myna.wire.errors import SlowBody


def _services(*scripts: object, key: str | None = KEY):  # type: ignore[no-untyped-def]
    return services(pool_of(ScriptedGenerator(list(scripts))), key=key)  # type: ignore[arg-type]


def _error(body: bytes) -> dict[str, object]:
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


async def test_the_order_is_routing_key_json_model_body() -> None:
    async with running(_services()) as live:
        unknown = await live.ask("POST", "/v1/nothing", b"{", key="")
        keyless = await live.ask("POST", "/v1/words", b"{", key="")
        broken = await live.ask("POST", "/v1/words", b"{")
        modelless = await live.ask("POST", "/v1/words", b'{"prompts": "x"}')
        stranger = await live.ask("POST", "/v1/words", b'{"model": "no", "prompts": "x"}')
    assert (unknown.status, _error(unknown.body)["message"]) == (404, "Invalid URL (POST /v1/nothing)")
    assert (keyless.status, _error(keyless.body)["message"]) == (401, NO_KEY_TEXT)
    assert (broken.status, _error(broken.body)["message"]) == (400, UNPARSABLE_TEXT)
    assert (modelless.status, _error(modelless.body)["message"]) == (
        400,
        "you must provide a model parameter",
    )
    assert stranger.status == 404
    assert _error(stranger.body) == {
        "message": "The model `no` does not exist or you do not have access to it.",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer  ", "Digest abc", "Basic !!", "Basic OnB=x"])
async def test_without_a_key_openai_says_how_to_give_one(authorization: str) -> None:
    async with running(_services()) as live:
        headers = (f"Authorization: {authorization}",) if authorization else ()
        reply = await live.ask("GET", "/v1/models", b"", *headers, key="")
    assert reply.status == 401
    assert _error(reply.body)["message"] == NO_KEY_TEXT


async def test_a_wrong_key_is_shown_masked_and_a_key_is_a_password_too() -> None:
    async with running(_services()) as live:
        wrong = await live.ask("GET", "/v1/models", key="sk-wrong123-key9")
        basic = "Authorization: Basic OnNrLXRlc3QtMDEyMzQ1Njc4OWFiY2RlZg=="
        password = await live.ask("GET", "/v1/models", b"", basic, key="")
    assert _error(wrong.body)["message"] == (
        "Incorrect API key provided: sk-wrong****key9. "
        "You can find your API key with `myna key` on the machine that runs this server."
    )
    assert _error(wrong.body)["code"] == "invalid_api_key"
    assert "openai-version" not in wrong.headers
    assert password.status == 200


async def test_every_reply_has_a_request_id_and_a_backends_its_times() -> None:
    async with running(_services()) as live:
        good = await live.ask("GET", "/v1/models")
        missing = await live.ask("GET", "/nowhere")
    assert re.fullmatch("req_[0-9a-f]{32}", good.headers["x-request-id"])
    assert good.headers["openai-version"] == "2020-10-01"
    assert int(good.headers["openai-processing-ms"]) >= 1
    assert re.fullmatch("req_[0-9a-f]{32}", missing.headers["x-request-id"])
    assert missing.status == 404
    assert list(json.loads(missing.body)["error"]) == ["type", "code", "message", "param"]


async def test_a_wrong_method_and_an_unexpected_bug_have_openais_form() -> None:
    async with running(_services()) as live:
        method = await live.ask("GET", "/v1/words")
        bug = await live.ask("POST", "/v1/fail", b"{}")
    assert method.status == 405
    assert method.headers["allow"] == "POST"
    assert str(_error(method.body)["message"]).startswith("Not allowed to GET on /v1/words.")
    assert bug.status == 500
    assert bug.headers["x-request-id"] in str(_error(bug.body)["message"])
    assert b"bug of ours" not in bug.body


async def test_only_json_is_a_body() -> None:
    async with running(_services()) as live:
        form = await live.ask("POST", "/v1/words", b"a=1", "Content-Type: text/plain")
        listed = await live.ask("POST", "/v1/words", b"[1]")
        empty = await live.ask("POST", "/v1/words", b"", "Content-Type: application/json")
    assert (form.status, _error(form.body)["code"]) == (400, "unsupported_content_type")
    assert "'text/plain'" in str(_error(form.body)["message"])
    assert _error(listed.body)["message"] == "you must provide a model parameter"
    assert _error(empty.body)["message"] == UNPARSABLE_TEXT


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_a_413(chunked: bool) -> None:
    body = b'{"model": "tiny", "x": "' + b"a" * 300 + b'"}'
    async with running(_services(words("a")), HttpOptions(max_body_bytes=200)) as live:
        if chunked:
            data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            reply = await live.ask("POST", "/v1/words", data, "Transfer-Encoding: chunked")
        else:
            reply = await live.ask("POST", "/v1/words", body)
        small = await live.ask("POST", "/v1/words", b'{"model": "tiny"}')
    assert reply.status == 413
    assert "200 bytes" in str(_error(reply.body)["message"])
    assert reply.headers["connection"] == "close"
    assert small.status == 200


async def test_bytes_that_are_not_a_request_get_the_envelope_too() -> None:
    async with running(_services()) as live:
        garbage = await (await live.send(b"\x16\x03\x01 hello\r\n\r\n")).reply()
        huge = await live.ask("GET", "/v1/models", b"", "X-Long: " + "a" * 70_000)
        endless = await (await live.send(b"GET /v1/models HTTP/1.1\r\nX: " + b"a" * 70_000)).reply()
    assert garbage.status == 400
    _error(garbage.body)
    assert huge.status == 431
    assert endless.status == 431
    _error(endless.body)


async def test_a_body_that_stops_coming_is_given_up() -> None:
    limited = BodyLimit(_read_all, max_bytes=lambda scope: 100, pause_s=0.0)
    messages: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: Message) -> None:
        raise AssertionError("nothing is answered")

    with pytest.raises(SlowBody):
        await limited({"type": "http", "headers": []}, receive, send)


async def test_a_body_that_comes_in_drops_is_given_up() -> None:
    """Else a few bytes per minute would keep connections busy, which are never dropped for new ones."""
    now_s, num_sent = 0.0, 0

    async def receive() -> Message:
        nonlocal now_s, num_sent
        now_s, num_sent = now_s + 20.0, num_sent + 1
        return {"type": "http.request", "body": b"x" * size, "more_body": num_sent < 100}

    async def send(message: Message) -> None:
        raise AssertionError("nothing is answered")

    limited = BodyLimit(_read_all, max_bytes=lambda scope: 10_000_000, clock=lambda: now_s)
    size = 1
    with pytest.raises(SlowBody):
        await limited({"type": "http", "headers": []}, receive, send)
    assert num_sent == 2
    now_s, num_sent, size = 0.0, 0, 20 << 10
    await limited({"type": "http", "headers": []}, receive, send)
    assert num_sent == 100


async def _read_all(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass


async def test_a_wrong_model_name_gets_a_hint_besides_openais_text() -> None:
    async with running(_services()) as live:
        reply = await live.ask("POST", "/v1/words", '{"model": "tiyn\\n你"}'.encode())
    assert reply.status == 404
    assert "tiny" in reply.headers["x-myna-hint"]


async def test_an_absurd_model_name_costs_nothing_and_is_cut() -> None:
    async with running(_services()) as live:
        reply = await live.ask("POST", "/v1/words", b'{"model": "%s"}' % (b"x" * 1_000_000))
        got = await live.ask("GET", "/v1/models/" + "y" * 5000)
    assert (reply.status, got.status) == (404, 404)
    assert max(len(reply.body), len(got.body)) < 1000

"""Errors, headers, and what is rejected."""

import re
from typing import Final

import openai

from myna.cli.checks.server import Check, ExpectationFailed, ServerUnderTest, envelope, expect

_GROUP: Final = "Errors and headers"
_ASK: Final = [{"role": "user", "content": "hi"}]


def _wrong_key(server: ServerUnderTest) -> None:
    client = server.client.with_options(api_key="sk-wrong-key-000000000000")
    try:
        client.models.list()
    except openai.AuthenticationError as exc:
        expect(exc.code == "invalid_api_key", f"code is {exc.code!r}")
        expect("sk-wrong-key-000000000000" not in str(exc), "the key is shown in full")
        return
    raise ExpectationFailed("a wrong key was accepted")


def _json(server: ServerUnderTest) -> None:
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    response = server.http.post(f"{server.base_url}/chat/completions", content=b"{", headers=headers)
    expect(response.status_code == 400, f"HTTP {response.status_code}")
    envelope(response)


def _content_type(server: ServerUnderTest) -> None:
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "text/plain"}
    response = server.http.post(f"{server.base_url}/chat/completions", content=b"{}", headers=headers)
    expect(response.status_code in (400, 415), f"HTTP {response.status_code}")
    envelope(response)


def _unknown_path(server: ServerUnderTest) -> None:
    response = server.post("nothing/here", {})
    expect(response.status_code == 404, f"HTTP {response.status_code}")
    envelope(response)


def _range(server: ServerUnderTest) -> None:
    error = server.refused("chat/completions", {"messages": _ASK, "temperature": 3})
    expect(error["param"] == "temperature", f"param is {error['param']!r}")


def _type(server: ServerUnderTest) -> None:
    error = server.refused("chat/completions", {"messages": _ASK, "n": "two"})
    expect(error["param"] == "n", f"param is {error['param']!r}")


def _role(server: ServerUnderTest) -> None:
    error = server.refused("chat/completions", {"messages": [{"role": "robot", "content": "x"}]})
    expect(error["param"] == "messages[0].role", f"param is {error['param']!r}")


def _empty(server: ServerUnderTest) -> None:
    error = server.refused("chat/completions", {"messages": []})
    expect(error["param"] == "messages", f"param is {error['param']!r}")


def _unknown_parameter(server: ServerUnderTest) -> None:
    server.refused("chat/completions", {"messages": _ASK, "no_such_parameter": 1})


def _stream_options(server: ServerUnderTest) -> None:
    body = {"messages": _ASK, "stream_options": {"include_usage": True}}
    error = server.refused("chat/completions", body)
    expect(error["param"] == "stream_options", f"param is {error['param']!r}")


def _context(server: ServerUnderTest) -> None:
    error = server.refused("chat/completions", {"messages": [{"role": "user", "content": "word " * 150_000}]})
    expect(error["code"] == "context_length_exceeded", f"code is {error['code']!r}")


def _context_streamed(server: ServerUnderTest) -> None:
    server.refused("completions", {"prompt": "word " * 150_000, "stream": True})


def _request_id(server: ServerUnderTest) -> None:
    answer = server.client.completions.with_raw_response.create(model=server.model, prompt="x", max_tokens=1)
    found = answer.headers.get("x-request-id", "")
    expect(re.fullmatch(r"req_[0-9a-f]{32}", found), f"x-request-id is {found!r}")
    expect(answer.headers.get("openai-processing-ms", "").isdigit(), "no openai-processing-ms")


def _ignored(server: ServerUnderTest) -> None:
    for name, value in {
        "modalities": ["text", "audio"],
        "web_search_options": {},
        "audio": {"voice": "x"},
    }.items():
        response = server.post(
            "chat/completions", {"model": server.model, "messages": _ASK, "max_tokens": 1, name: value}
        )
        expect(response.status_code == 400, f"{name} was accepted and ignored")


CHECKS: Final = (
    Check(_GROUP, "wrong key: 401 invalid_api_key, masked", _wrong_key),
    Check(_GROUP, "broken JSON: 400 in the envelope", _json),
    Check(_GROUP, "wrong content type: refused in the envelope", _content_type),
    Check(_GROUP, "unknown path: 404 in the envelope", _unknown_path),
    Check(_GROUP, "out of range: 400 with its param", _range),
    Check(_GROUP, "wrong type: 400 with its param", _type),
    Check(_GROUP, "unknown role: 400 with its place", _role),
    Check(_GROUP, "empty messages: 400", _empty),
    Check(_GROUP, "unknown parameter: 400", _unknown_parameter),
    Check(_GROUP, "stream_options without stream: 400", _stream_options),
    Check(_GROUP, "too long: 400 context_length_exceeded", _context),
    Check(_GROUP, "too long, streamed: 400 before the first byte", _context_streamed),
    Check(_GROUP, "x-request-id and openai-processing-ms", _request_id),
    Check(_GROUP, "what isn't supported is refused, not ignored", _ignored),
)

"""What users of self-hosted servers complain of in streams, queues and names, tried on the fake engine.

docs/complaints.md says which test answers which complaint.
"""

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from tests.e2e.server import KEY, MODEL, ServerProcess, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("home"), "--engine", "fake", MYNA_MAX_QUEUE="2") as running:
        yield running


def raw_events(server: ServerProcess, path: str, **body: Any) -> list[str]:
    """What a stream sends, read from a bare socket: the data of each event, in order."""
    where = urlsplit(server.base_url)
    content = json.dumps({"model": MODEL, "stream": True, **body}).encode()
    head = (
        f"POST {where.path}/{path} HTTP/1.1\r\nhost: {where.netloc}\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=60) as connection:
        connection.sendall(head.encode() + content)
        with connection.makefile("rb") as answer:
            assert b"200" in answer.readline()
            data = answer.read()
    text = "".join(_chunked(data.partition(b"\r\n\r\n")[2]))
    events = text.split("\n\n")
    assert events.pop() == ""
    assert all(event.startswith("data: ") for event in events)
    return [event.removeprefix("data: ") for event in events]


def _chunked(data: bytes) -> Iterator[str]:
    """The pieces of a chunked body; each must be whole characters by itself."""
    while True:
        size, _, data = data.partition(b"\r\n")
        if not int(size, 16):
            return
        yield data[: int(size, 16)].decode()
        data = data[int(size, 16) + 2 :]


def test_no_event_splits_a_character(server: ServerProcess) -> None:
    said = "你好，世界 🙂👩‍👩‍👧 é"
    events = raw_events(server, "completions", prompt=f"[[say {said}]]", max_tokens=100)
    assert events[-1] == "[DONE]"
    texts = [json.loads(event)["choices"][0]["text"] for event in events[:-1]]
    assert "".join(texts) == said
    assert len(texts) > 8, "one event a character, not one for all"


@pytest.mark.parametrize(
    ("stop", "left"),
    [("STOP", "a S ST STO bird "), (["nowhere", "ST"], "a S "), ("bird STOP", "a S ST STO ")],
)
def test_a_stop_string_never_leaks_and_no_chunk_is_empty(server: ServerProcess, stop: Any, left: str) -> None:
    prompt = "[[say a S ST STO bird STOP and more]]"
    events = raw_events(server, "completions", prompt=prompt, max_tokens=100, stop=stop)
    chunks = [json.loads(event)["choices"][0] for event in events[:-1]]
    text = "".join(chunk["text"] for chunk in chunks)
    assert text == left
    assert all(chunk["text"] for chunk in chunks if chunk["finish_reason"] is None)
    assert [chunk["finish_reason"] for chunk in chunks if chunk["finish_reason"]] == ["stop"]


def test_usage_comes_last_if_asked_for_and_never_else(server: ServerProcess) -> None:
    messages = [{"role": "user", "content": "[[say a b c]]"}]
    for path, body in (
        ("completions", {"prompt": "[[say a b c]]"}),
        ("chat/completions", {"messages": messages}),
    ):
        unasked = [json.loads(event) for event in raw_events(server, path, **body)[:-1]]
        assert all("usage" not in chunk for chunk in unasked)
        asked = raw_events(server, path, stream_options={"include_usage": True}, **body)[:-1]
        *others, last = [json.loads(event) for event in asked]
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] > 0
        assert all(chunk["usage"] is None for chunk in others)


async def test_a_full_queue_sends_away_at_once_and_says_when_to_come_back(server: ServerProcess) -> None:
    slow = f"[[slow 20]][[say {'bird ' * 300}]]"
    async with AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client:

        async def ask() -> str:
            try:
                stream = await client.completions.create(
                    model=MODEL, prompt=slow, n=128, max_tokens=400, stream=True
                )
            except openai.APIStatusError as exc:
                assert exc.status_code in (429, 503)
                assert float(exc.response.headers["retry-after"]) > 0
                assert exc.response.headers["x-should-retry"] == "true"
                return "sent away"
            await stream.close()
            return "served"

        told = await asyncio.gather(*[ask() for _ in range(40)])
        assert {"served", "sent away"} == set(told)
        patient = client.with_options(max_retries=8)
        answer = await patient.completions.create(model=MODEL, prompt="[[say back]]")
        assert answer.choices[0].text == "back"


def test_an_alias_is_echoed_and_a_wrong_name_is_helped(client: OpenAI) -> None:
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="[[say hi]]")
    assert answer.model == "gpt-3.5-turbo-instruct"
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="no-such-model", prompt="x")
    assert caught.value.code == "model_not_found"
    assert MODEL in caught.value.response.headers["x-myna-hint"]

"""Background responses of a real server, with the official client: polled, resumed, cancelled, and failed
when the server is killed."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI, Stream
from openai.types.responses import Response
from tests.e2e.server import KEY, MODEL, ServerProcess, end_leases, serving

SLOW = f"[[slow 100]][[say {'x' * 2000}]]"
LETTERS = f"[[slow 2]][[say {'abcdefgh' * 50}]]"
TEXT = "abcdefgh" * 50
_ENDS = ("completed", "failed", "incomplete", "cancelled")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("home"), "--engine", "fake") as running:
        yield running


def _polled(client: OpenAI, response_id: str) -> Response:
    for _ in range(100_000):
        found = client.responses.retrieve(response_id)
        if found.status in _ENDS:
            return found
    raise AssertionError("it does not end")


def _start(client: OpenAI, **body: Any) -> Response:
    created: Response = client.responses.create(model=MODEL, input=SLOW, background=True, **body)
    return created


def test_a_response_is_polled_until_it_has_ended(client: OpenAI) -> None:
    created = client.responses.create(model=MODEL, input=LETTERS, background=True)
    assert created.status == "queued"
    done = _polled(client, created.id)
    assert (done.status, done.output_text) == ("completed", TEXT)
    assert done.usage is not None
    assert done.usage.output_tokens == len(TEXT) + 1


def test_a_cancelled_response_leaves_the_model_to_others(client: OpenAI) -> None:
    created = _start(client)
    assert client.responses.cancel(created.id).status == "cancelled"
    assert client.responses.cancel(created.id).status == "cancelled"
    assert client.responses.create(model=MODEL, input="[[say Hi]]").output_text == "Hi"
    assert client.responses.retrieve(created.id).status == "cancelled"


def test_a_broken_stream_is_resumed_where_it_broke(client: OpenAI) -> None:
    stream: Stream[Any] = client.responses.create(model=MODEL, input=LETTERS, background=True, stream=True)
    seen = []
    for event in stream:
        seen.append(event)
        if len(seen) == 20:
            break
    stream.close()
    response_id = seen[0].response.id
    resumed = client.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number)
    seen += list(resumed)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert "".join(event.delta for event in seen if event.type == "response.output_text.delta") == TEXT
    assert seen[-1].type == "response.completed"
    assert seen[-1].response.output_text == TEXT
    assert list(client.responses.retrieve(response_id, stream=True)) == seen
    assert client.responses.retrieve(response_id).output_text == TEXT


def test_the_clients_helper_resumes_a_stream(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input=LETTERS, background=True) as stream:
        events = [event for event, _ in zip(stream, range(20), strict=False)]
        response_id = next(event.response.id for event in events if event.type == "response.created")
    with client.responses.stream(
        response_id=response_id, starting_after=events[-1].sequence_number
    ) as stream:
        rest = list(stream)
    assert rest[0].sequence_number == events[-1].sequence_number + 1
    assert rest[-1].type == "response.completed"


@contextmanager
def _started(home: Path) -> Iterator[tuple[ServerProcess, OpenAI]]:
    with (
        serving(home, "--engine", "fake") as server,
        OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client,
    ):
        yield server, client


def test_a_killed_server_leaves_a_failed_response(tmp_path: Path) -> None:
    with _started(tmp_path) as (first, client):
        done = client.responses.create(model=MODEL, input="[[say Hi]]")
        stream = client.responses.create(model=MODEL, input=SLOW, background=True, stream=True)
        response_id = next(iter(stream)).response.id  # type: ignore[union-attr]
        polled = _start(client)
        first.process.send_signal(signal.SIGKILL)
        first.end()
    end_leases(f"sqlite:///{tmp_path / 'myna.db'}")
    with _started(tmp_path) as (second, client):
        assert client.responses.retrieve(done.id).output_text == done.output_text
        for lost in (response_id, polled.id):
            found = _polled(client, lost)
            assert found.status == "failed"
            assert found.error is not None
            assert found.error.code == "server_error"
        last = list(client.responses.retrieve(response_id, stream=True))[-1]
        assert last.type == "response.failed"
        following = client.responses.create(model=MODEL, input="[[say Ho]]", previous_response_id=done.id)
        assert following.output_text == "Ho"
        assert second.stop() == 0


def test_the_end_of_the_server_waits_for_background_responses(tmp_path: Path) -> None:
    with _started(tmp_path) as (first, client):
        created = client.responses.create(model=MODEL, input=LETTERS, background=True)
        assert first.stop() == 0
    with _started(tmp_path) as (_, client):
        found = client.responses.retrieve(created.id)
        assert (found.status, found.output_text) == ("completed", TEXT)

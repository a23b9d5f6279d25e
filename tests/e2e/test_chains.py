"""Long chains of responses, and two servers on one database."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.e2e.server import KEY, MODEL, ServerProcess, end_leases, serving

_LENGTH = 50


@contextmanager
def _started(home: Path, **environment: str) -> Iterator[tuple[ServerProcess, OpenAI]]:
    with (
        serving(home, "--engine", "fake", **environment) as server,
        OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client,
    ):
        yield server, client


def test_a_chain_of_fifty_comes_from_the_prefix_cache(tmp_path: Path) -> None:
    with _started(tmp_path) as (_, client):
        previous: Any = None
        for number in range(_LENGTH):
            response = client.responses.create(
                model=MODEL,
                input=f"[[say {number}]]",
                previous_response_id=None if previous is None else previous.id,
            )
            assert response.output_text == str(number)
            assert response.usage is not None
            if previous is not None:
                cached = response.usage.input_tokens_details.cached_tokens
                assert cached >= previous.usage.input_tokens
            previous = response
        items = list(client.responses.input_items.list(previous.id, order="asc", limit=7))
        assert len(items) == 2 * _LENGTH - 1


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_another_server_on_the_database_takes_over(tmp_path: Path, postgresql_url: str, kill: int) -> None:
    database = {"MYNA_DATABASE": postgresql_url, "MYNA_DRAIN": "0"}
    with (
        _started(_folder(tmp_path, "one"), **database) as (one, first),
        _started(_folder(tmp_path, "two"), **database) as (_, second),
    ):
        done = first.responses.create(model=MODEL, input="[[say Hi]]")
        following = second.responses.create(model=MODEL, input="[[say Ho]]", previous_response_id=done.id)
        assert following.output_text == "Ho"
        letters = f"[[slow 2]][[say {'abcd' * 50}]]"
        stream: Any = first.responses.create(model=MODEL, input=letters, background=True, stream=True)
        begun = next(stream)
        elsewhere = list(second.responses.retrieve(begun.response.id, stream=True))
        assert elsewhere == [begun, *stream]
        slow = f"[[slow 100]][[say {'x' * 2000}]]"
        cancelled = first.responses.create(model=MODEL, input=slow, background=True)
        assert second.responses.cancel(cancelled.id).status == "cancelled"
        lost = first.responses.create(model=MODEL, input=slow, background=True)
        one.process.send_signal(kill)
        one.end()
        if kill == signal.SIGKILL:  # one that is asked to stop fails them itself
            end_leases(postgresql_url)
        for _ in range(100_000):
            found = second.responses.retrieve(lost.id)
            if found.status not in ("queued", "in_progress"):
                break
        assert found.status == "failed"
        assert found.error is not None
        assert found.error.code == "server_error"
        assert second.responses.retrieve(cancelled.id).status == "cancelled"


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder

"""`myna batch run` without a server: what it says when it is stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import myna.cli.batch
from myna.cli.chat.server import ChatServer
from myna.cli.root import app


class Waiting:
    """A client whose user presses Ctrl-C while a batch is running."""

    def __init__(self, *_: object) -> None: ...

    def upload(self, path: Path) -> str:
        return "file-1"

    def create(self, file_id: str, endpoint: str) -> dict[str, Any]:
        return {"id": "batch_1", "status": "validating"}

    def retrieve(self, batch_id: str) -> dict[str, Any]:
        raise KeyboardInterrupt


@pytest.mark.parametrize(("is_started", "said"), [(False, "continues on the server"), (True, "pauses")])
def test_a_stopped_command_says_whether_its_batch_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_started: bool, said: str
) -> None:
    @contextmanager
    def open_server(*_: object) -> Iterator[ChatServer]:
        yield ChatServer("http://127.0.0.1:9/v1", "", is_started=is_started)

    monkeypatch.setattr(myna.cli.batch, "open_server", open_server)
    monkeypatch.setattr(myna.cli.batch, "BatchClient", Waiting)
    monkeypatch.setattr(myna.cli.batch, "_POLL_S", 0)
    requests = tmp_path / "in.jsonl"
    requests.write_text('{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {}}')
    result = CliRunner().invoke(app, ["batch", "run", str(requests)])
    assert result.exit_code == 130
    assert f"batch_1 {said}" in " ".join(result.output.split())
    assert (tmp_path / "in.results.jsonl.batch").read_text() == "batch_1\n"

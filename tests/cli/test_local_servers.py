"""This user's running servers, found by their records."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from myna.cli.local_servers import find_server, recorded, running_servers
from myna.settings import load_settings

_SERVER = """
import sys
from pathlib import Path
from myna.cli.local_servers import recorded
with recorded(Path(sys.argv[1]), sys.argv[2]):
    print("recorded", flush=True)
    sys.stdin.read()
"""


@contextmanager
def recording(home: Path, url: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process with the record of a server."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(home), url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


_CHAT = """
import sys
from myna.cli.local_servers import started_server
from myna.settings import load_settings
with started_server(load_settings({}), None):
    print("started", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def neighbour() -> Iterator[str]:
    """The base URL of a program that answers every request, and isn't this user's server."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def folder(home: Path) -> Path:
    home.mkdir()
    return home


def test_another_program_at_the_address_is_not_this_users_server(
    home: Path, neighbour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYNA_PORT", neighbour.removesuffix("/v1").rpartition(":")[2])
    settings = load_settings({})
    assert find_server(settings) is None
    with recorded(home, neighbour):
        assert find_server(settings) == neighbour


def test_a_record_lasts_as_long_as_its_process(home: Path) -> None:
    with recording(home, "http://127.0.0.1:2/v1") as process:
        (server,) = running_servers(home)
        assert (server.pid, server.base_url) == (process.pid, "http://127.0.0.1:2/v1")
        process.kill()
        process.wait()
        (record,) = (home / "servers").iterdir()
        record = record.rename(record.with_name(f"{os.getpid()}.json"))  # as if its id were used again
        assert running_servers(home) == []
        assert not record.exists()


def test_the_newest_server_is_first(home: Path) -> None:
    with recording(home, "http://127.0.0.1:2/v1") as old, recording(home, "http://127.0.0.1:3/v1"):
        os.utime(home / "servers" / f"{old.pid}.json", (0, 0))
        assert [server.base_url[-4] for server in running_servers(home)] == ["3", "2"]


def test_a_file_that_is_not_a_record_is_skipped(home: Path) -> None:
    (home / "servers").mkdir()
    (home / "servers" / "notes.json").write_text("[")
    assert running_servers(home) == []


def test_a_server_started_for_a_chat_ends_with_it_even_if_it_is_killed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYNA_ENGINE", "fake")
    with subprocess.Popen(
        [sys.executable, "-c", _CHAT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as chat:
        assert chat.stdout is not None
        assert chat.stdout.readline() == b"started\n"
        (server,) = running_servers(home)
        process = psutil.Process(server.pid)
        chat.kill()
    process.wait(60)
    assert running_servers(home) == []

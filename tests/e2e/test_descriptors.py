"""A server with few file descriptors: silent connections take none that requests and the database need."""

import os
import resource
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from tests.e2e.server import KEY, MODEL, serving

_DESCRIPTORS = 128


def test_silent_connections_shut_nobody_out_and_are_logged_once(tmp_path: Path) -> None:
    with serving(tmp_path, "--engine", "fake", descriptors=str(_DESCRIPTORS)) as server, ExitStack() as stack:
        place = urlsplit(server.base_url)
        for _ in range(2 * _DESCRIPTORS):
            stack.enter_context(socket.create_connection((place.hostname, place.port or 0), timeout=60))
        messages = [{"role": "user", "content": "hi"}]
        for _ in range(5):
            reply = httpx.post(
                f"{server.base_url}/chat/completions",
                json={"model": MODEL, "messages": messages, "max_tokens": 4, "store": True},
                headers={"authorization": f"Bearer {KEY}"},
                timeout=60,
            )
            assert reply.status_code == 200, reply.text
            kept = httpx.get(
                f"{server.base_url}/chat/completions/{reply.json()['id']}",
                headers={"authorization": f"Bearer {KEY}"},
                timeout=60,
            )
            assert kept.status_code == 200, kept.text
        server.stop()
        lines = [line for line in server.log if "file descriptors" in line]
        assert len(lines) == 1, server.log
        assert not [line for line in server.log if "Traceback" in line]


def test_a_limit_that_leaves_no_connections_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "myna.cli", "serve", "--engine", "fake", "--port", "0"],
        env={**os.environ, "MYNA_HOME": str(tmp_path), "COLUMNS": "1000"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 1
    assert "may open only 64 files and connections" in ran.stderr
    assert "`ulimit -n 1024`" in ran.stderr

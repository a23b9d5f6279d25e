"""`myna serve` as a process: what it prints, whom it lets in, how it ends. The fake engine answers."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.conftest import Run


@contextmanager
def serving(
    home: Path, *flags: str, last_words: str = "Stop with"
) -> Iterator[tuple["subprocess.Popen[str]", dict[str, str]]]:
    command = [sys.executable, "-m", "myna.cli", "serve", "--engine", "fake", "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = {}
        for line in server.stdout:
            if match := re.match(r"  (Base URL|API key|Web page|地址) +(.+)", line):
                said[match[1]] = match[2]
            if line.startswith(last_words):
                break
        try:
            yield server, said
        finally:
            server.kill()
            server.communicate()


def fetch(url: str, key: str = "") -> dict[str, object]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    with urllib.request.urlopen(request, timeout=60) as response:
        body: dict[str, object] = json.load(response)
    return body


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(home: Path, number: signal.Signals) -> None:
    with serving(home) as (server, said):
        root = said["Base URL"].removesuffix("/v1")
        assert fetch(f"{root}/ready") == {"status": "ready"}
        server.send_signal(number)
        _, log = server.communicate(timeout=60)
        assert server.returncode == 0
        assert "Traceback" not in log


def test_the_printed_key_opens_it_and_no_other(home: Path, run: Run) -> None:
    with serving(home) as (server, said):
        key = run("key").out.strip()
        assert fetch(f"{said['Base URL']}/models", key)["object"] == "list"
        assert said["Web page"] == said["Base URL"].removesuffix("v1")
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch(f"{said['Base URL']}/models", "sk-stranger")
        assert refused.value.code == 401
        refused.value.close()
        ran = run("complete", "[[say caw caw]]", "--base-url", said["Base URL"])
        assert "Incorrect API key" in ran.err or "API key" in ran.err
        server.terminate()
        _, log = server.communicate(timeout=60)
        assert key not in log + "".join(said.values())
        assert "status=401" in log


def test_a_running_server_completes_for_the_shell(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(home, "--no-auth") as (_, said):
        assert said["API key"] == "none needed"
        assert run("complete", "[[say caw caw]]").out == "caw caw\n"  # found on whatever port it has
        assert list((home / "servers").iterdir())
    monkeypatch.setenv("MYNA_ENGINE", "fake")
    assert run("complete", "[[say caw caw]]").out == "caw caw\n"
    assert not list((home / "servers").iterdir())  # the killed server's record


def test_output_that_is_kept_gets_neither_key_nor_code(home: Path) -> None:
    with serving(home) as (_, said):
        assert re.fullmatch(r"see: \S*myna key", said["API key"])
        assert "#" not in said["Web page"]


def test_a_terminal_sees_the_key_once_and_a_sign_in_link(home: Path, run: Run) -> None:
    key, link = _terminal_start(home)
    assert key == run("key").out.strip()
    again, other = _terminal_start(home)
    assert key not in again
    assert link != other


def test_a_link_can_be_made_later(home: Path, run: Run) -> None:
    with serving(home) as (_, said):
        link = run("key", "link").out.strip()
        assert link.startswith(said["Web page"] + "#code=")
        assert redeem(link) == run("key").out.strip()
        with pytest.raises(urllib.error.HTTPError) as refused:
            redeem(link)
        assert refused.value.code == 403
        refused.value.close()
    assert "No server is running" in run("key", "link").err


def redeem(link: str) -> str:
    page, _, code = link.partition("#code=")
    request = urllib.request.Request(
        f"{page}sign-in", json.dumps({"code": code}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.headers["cache-control"] == "no-store"
        return str(json.load(response)["key"])


def _terminal_start(home: Path) -> tuple[str, str]:
    """What stands behind `API key` and `Web page` in a terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "myna.cli", "serve", "--engine", "fake", "--port", "0"]
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.DEVNULL) as server:
        os.close(follower)
        shown = b""
        while b"Stop with" not in shown:
            shown += os.read(leader, 4096)
        server.kill()
    os.close(leader)
    text = shown.decode()
    key = re.search(r"API key +(\S+)", text)
    page = re.search(r"Web page +(\S+)", text)
    assert key
    assert page
    return key[1], page[1]


def test_a_log_that_nobody_reads_stops_nothing(home: Path, run: Run) -> None:
    with serving(home) as (server, said):  # its standard error is a pipe, which holds about 500 lines
        key = run("key").out.strip()
        for _ in range(1500):
            assert fetch(f"{said['Base URL']}/models", key)["object"] == "list"
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=60)
        assert server.returncode == 0
        assert log.count("path=/v1/models") == 1500


def test_it_speaks_the_locale_s_language(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    with serving(home, last_words="按 Ctrl-C 停止。") as (server, said):
        assert fetch(said["地址"].removesuffix("/v1") + "/ready") == {"status": "ready"}
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=60)
        assert log.startswith("正在加载 fake …\n")
        with pytest.raises(urllib.error.URLError):
            fetch(said["地址"])

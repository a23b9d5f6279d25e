"""`myna serve` as a process: what it prints, whom it lets in, how it ends. The fake engine answers."""

import json
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
        assert fetch(f"{said['Base URL']}/models", said["API key"])["object"] == "list"
        assert said["Web page"] == said["Base URL"].removesuffix("v1")
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch(f"{said['Base URL']}/models", "sk-stranger")
        assert refused.value.code == 401
        refused.value.close()
        ran = run("complete", "[[say caw caw]]", "--base-url", said["Base URL"])
        assert "Incorrect API key" in ran.err or "API key" in ran.err
        server.terminate()
        _, log = server.communicate(timeout=60)
        assert said["API key"] not in log
        assert "status=401" in log


def test_a_running_server_completes_for_the_shell(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(home, "--no-auth") as (_, said):
        assert said["API key"] == "none needed"
        monkeypatch.setenv("MYNA_PORT", said["Base URL"].split(":")[2].removesuffix("/v1"))
        assert run("complete", "[[say caw caw]]").out == "caw caw\n"


def test_a_log_that_is_kept_does_not_get_the_key(home: Path) -> None:
    with serving(home, "--log-format", "json") as (_, said):
        assert said["API key"] == "see `myna key`"


def test_a_log_that_nobody_reads_stops_nothing(home: Path) -> None:
    with serving(home) as (server, said):  # its standard error is a pipe, which holds about 500 lines
        for _ in range(1500):
            assert fetch(f"{said['Base URL']}/models", said["API key"])["object"] == "list"
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

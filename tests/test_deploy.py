"""The unit and the Containerfile of `deploy/`: every flag, path and name in them is there, as far as can be
seen without systemd or a container engine running."""

import re
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from tests.e2e.server import serving
from tests.http.live import running
from tests.http.scripted import ScriptedGenerator, pool_of, services, words

from myna.cli.root import app
from myna.settings import OTHER_VARIABLES, Settings, key_of

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "deploy" / "myna.service"
CONTAINERFILE = ROOT / "deploy" / "Containerfile"
VARIABLES = {f"MYNA_{key_of(setting).upper()}" for setting in fields(Settings)} | set(OTHER_VARIABLES)
VERBS = set(getattr(typer.main.get_command(app), "commands"))  # noqa: B009


def unit() -> dict[str, list[str]]:
    """Every key of the unit with its values in order."""
    values: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            values.setdefault(key, []).append(value)
    return values


def instructions() -> list[tuple[str, str]]:
    """(name, arguments) of the Containerfile, lines that go on joined."""
    text = re.sub(r"\\\n\s*", " ", CONTAINERFILE.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in lines]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    start = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    return found[start:]


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_the_unit_starts_what_there_is() -> None:
    values = unit()
    program, verb, *rest = values["ExecStart"][0].split()
    assert Path(program).name == "myna"
    assert verb in VERBS
    assert rest == []
    names = {pair.split("=")[0] for line in values["Environment"] for pair in line.split()}
    assert names <= VARIABLES


def test_the_unit_gives_running_answers_their_time() -> None:
    values = unit()
    assert seconds(values["TimeoutStopSec"][0]) >= Settings().drain_s + 30
    assert values["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert values["KillMode"] == ["mixed"]
    assert values["OOMPolicy"] == ["continue"]


def test_systemd_finds_no_fault_and_little_exposure(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is missing; on Debian and Ubuntu: apt install systemd")
    copy = tmp_path / UNIT.name
    program = unit()["ExecStart"][0].split()[0]
    copy.write_text(UNIT.read_text(encoding="utf-8").replace(program, sys.executable), encoding="utf-8")
    verified = subprocess.run([tool, "verify", copy], capture_output=True, text=True, timeout=60)
    assert [line for line in verified.stderr.splitlines() if UNIT.name in line] == []
    secured = subprocess.run(
        [tool, "security", "--offline=true", "--threshold=20", copy],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert secured.returncode == 0, secured.stdout[-200:] + secured.stderr


def test_the_server_notifies_systemd_when_it_is_ready(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(address)
        told.settimeout(60)
        with serving(tmp_path, "--engine", "fake", NOTIFY_SOCKET=address) as server:
            assert told.recv(100) == b"READY=1"
            assert server.stop() == 0


def test_the_containerfile_copies_what_there_is_and_nothing_is_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    stages = {line.split(" AS ")[1] for name, line in instructions() if name == "FROM" and " AS " in line}
    copied: set[str] = set()
    for name, line in instructions():
        if name == "COPY":
            flags = [word for word in line.split() if word.startswith("--")]
            if flags:
                assert flags[0].removeprefix("--from=") in stages
            else:
                copied |= set(line.split()[:-1])
    assert all((ROOT / path).exists() for path in copied)
    assert copied == kept


def test_the_build_needs_nothing_that_is_not_copied() -> None:
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for folder in re.findall(r"add_subdirectory\((\w+)", cmake):
        assert any(name == "COPY" and folder in line.split()[0] for name, line in instructions())


def test_the_image_runs_as_nobody_in_particular() -> None:
    found = dict(last_stage())
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", found["USER"])
    assert found["ENTRYPOINT"] == '["myna"]'
    assert re.findall(r'"(\w+)"', found["CMD"])[0] in VERBS
    variables = dict(pair.split("=", 1) for pair in found["ENV"].split())
    assert {name for name in variables if name.startswith("MYNA_")} <= VARIABLES
    assert variables["MYNA_HOME"] == found["VOLUME"]
    assert found["EXPOSE"] == str(Settings().port)


async def test_the_health_check_distinguishes_ready_from_not_ready() -> None:
    check = dict(last_stage())["HEALTHCHECK"]
    program, dash_c, code = re.findall(r'"([^"]*)"', check[check.index("[") :])
    assert (program, dash_c) == ("python", "-c")
    generator = ScriptedGenerator([words("a")])
    async with running(services(pool_of(generator))) as live:
        command = [sys.executable, "-c", code.replace(f":{Settings().port}", f":{live.port}")]

        async def status() -> int:
            return await _run(command)

        assert await status() != 0
        await live.ask("POST", "/v1/words", b'{"model": "tiny"}')
        assert await status() == 0


async def _run(command: list[str]) -> int:
    import asyncio

    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()


@pytest.mark.parametrize("page", ["deploy.md", "deploy.zh.md"])
def test_commands_of_the_page_name_files_that_are_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for path in re.findall(r"\bdeploy/[\w.]+", text):
        assert (ROOT / path).exists(), path
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words_of = shlex.split(line, comments=True)
            if words_of[:1] == ["myna"]:
                assert words_of[1] in VERBS, line
    settings = {key_of(setting) for setting in fields(Settings)}
    for toml in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
        assert set(re.findall(r"^(\w+) =", toml, re.MULTILINE)) <= settings

"""A batch on a real server that is killed in its midst, and the command that runs one."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from openai import OpenAI
from tests.e2e.server import KEY, MODEL, serving, variables

CHAT: Final = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")


def lines(count: int, words: int = 3, *, slow_ms: int = 0) -> bytes:
    """Requests of different lengths, so that they don't end together, of which each tenth is wrong."""
    made = []
    for number in range(count):
        text = f"[[slow {slow_ms}]][[say {'caw ' * (words + number % 5)}{number}]]"
        body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
        body |= {"temperature": 0 if number % 10 else 9}
        made.append(json.dumps({"custom_id": f"n-{number}", "method": "POST", "url": CHAT, "body": body}))
    return "\n".join(made).encode()


def read(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def answered(home: Path, *inputs: str) -> set[bytes]:
    """The lines that the contents in the folder of files have answers to, besides those inputs. A server that
    takes over has them twice for a moment."""
    found = set[bytes]()
    for path in home.glob("files/*/*"):
        with suppress(FileNotFoundError):  # copied meanwhile
            if path.name not in inputs:
                found |= set(re.findall(rb'"custom_id": ?"(n-\d+)"', path.read_bytes()))
    return found


def num_unfinished(log: list[str]) -> int:
    """How many requests a server before this one had not finished, by this one's log."""
    return sum(int(found[1]) for line in log if (found := re.search(r"(\d+) of them unfinished", line)))


def expire_leases(home: Path) -> None:
    """As if a server that was killed had been away for long."""
    with closing(sqlite3.connect(home / "myna.db")) as database, database:
        database.execute("UPDATE batches SET lease_until = 0")


def charged(home: Path, count: int) -> dict[str, int]:
    """The completion tokens of each request in the ledger, once that many rows are complete."""
    with closing(sqlite3.connect(home / "myna.db")) as database:
        query = "SELECT id, completion_tokens, outcome FROM usage"
        while True:
            rows = database.execute(query).fetchall()
            if sum(outcome in ("completed", "refused") for *_, outcome in rows) >= count:
                assert len(rows) == count
                return {row_id.removeprefix("req_"): tokens for row_id, tokens, _ in rows}


def test_each_line_is_answered_and_charged_once_though_worker_and_server_are_killed(tmp_path: Path) -> None:
    count, turns, batch_id, file_id, log = 120, 3, "", "", list[str]()
    for turn in range(turns):
        num_before = len(answered(tmp_path, file_id, batch_id))
        with (
            serving(tmp_path, "--engine", "fake") as server,
            OpenAI(base_url=server.base_url, api_key=KEY) as client,
        ):
            if not batch_id:
                file = client.files.create(file=("in.jsonl", lines(count, slow_ms=50)), purpose="batch")
                file_id = file.id
                batch_id = client.batches.create(
                    input_file_id=file_id, endpoint=CHAT, completion_window="24h"
                ).id
            if turn < turns - 1:
                # More than before this server: one that had answered nothing yet would leave nothing behind.
                while len(answered(tmp_path, file_id, batch_id)) <= min(num_before + count // 12, count - 1):
                    pass
                if turn == 1:
                    server.workers()[0].kill()
                server.process.send_signal(signal.SIGKILL)
                server.end()
                expire_leases(tmp_path)
            else:
                while (batch := client.batches.retrieve(batch_id)).status not in ENDED:
                    pass
                good, bad = read(client, batch.output_file_id), read(client, batch.error_file_id)
                tokens = charged(tmp_path, count)
                server.stop()
            log += server.log
    assert num_unfinished(log) > 0, "the kills hit nobody, so they showed nothing"
    assert batch.status == "completed"
    ids = [line["custom_id"] for line in good + bad]
    assert len(ids) == count and set(ids) == {f"n-{number}" for number in range(count)}
    for line in good:
        answer = line["response"]["body"]["choices"][0]["message"]["content"]
        assert answer.split()[-1] == line["custom_id"].removeprefix("n-")
    assert {line["custom_id"] for line in bad} == {f"n-{number}" for number in range(0, count, 10)}
    assert tokens == {
        line["response"]["request_id"]: line["response"]["body"].get("usage", {}).get("completion_tokens", 0)
        for line in good + bad
    }
    left = [path.name for path in tmp_path.glob("files/*/*")]
    assert sorted(left) == sorted([batch.input_file_id, batch.output_file_id, batch.error_file_id])  # type: ignore[type-var]


def batch_command(home: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "myna.cli", "batch", *arguments],
        env=variables(home) | environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_command_writes_results_and_errors(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(20))
    with serving(tmp_path, "--engine", "fake"):
        ran = batch_command(tmp_path, "run", "in.jsonl")
        listed = batch_command(tmp_path, "list", "--json")
        good = [json.loads(line) for line in (tmp_path / "in.results.jsonl").read_text().splitlines()]
        bad = [json.loads(line) for line in (tmp_path / "in.errors.jsonl").read_text().splitlines()]
        (batch,) = json.loads(listed.stdout)
        shown = batch_command(tmp_path, "status", batch["id"])
        unknown = batch_command(tmp_path, "status", "batch_x")
        over = batch_command(tmp_path, "cancel", batch["id"])
        other = batch_command(tmp_path, "run", "in.jsonl", "-m", "no-such-model", "-o", "other.jsonl")
    assert (len(good), len(bad), ran.returncode) == (18, 2, 1)
    assert "18 of 20 requests answered" in ran.stderr and "in.errors.jsonl" in ran.stderr
    assert not (tmp_path / "in.results.jsonl.batch").exists()
    assert json.loads(shown.stdout) == batch
    assert unknown.returncode == 1 and "no batch batch_x" in unknown.stderr
    assert over.returncode == 1 and "Cannot cancel" in over.stderr
    assert other.returncode == 1 and "no-such-model" in other.stderr


def test_the_command_starts_a_server_and_continues_where_it_was_stopped(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(5)[lines(1).__len__() + 1 :])
    ran = batch_command(tmp_path, "run", "in.jsonl", "-o", "out.jsonl", MYNA_ENGINE="fake")
    assert ran.returncode == 0, ran.stderr
    assert "4 of 4 requests answered" in ran.stderr
    found = (tmp_path / "out.jsonl").read_text()
    with (
        serving(tmp_path, "--engine", "fake") as server,
        OpenAI(base_url=server.base_url, api_key=KEY) as client,
    ):
        (batch,) = client.batches.list().data
        (tmp_path / "out.jsonl").unlink()
        (tmp_path / "out.jsonl.batch").write_text(batch.id)
        again = batch_command(tmp_path, "run", "in.jsonl", "-o", "out.jsonl")
        assert len(client.batches.list().data) == 1
    assert f"Continuing with {batch.id}" in again.stderr
    assert (tmp_path / "out.jsonl").read_text() == found


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "Can't read"), (b"", "doesn't begin with a request"), (b"[1]\n", "doesn't begin with a request")],
)
def test_the_command_explains_what_is_wrong_with_a_file(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "in.jsonl").write_bytes(content)
    ran = batch_command(tmp_path, "run", "in.jsonl")
    assert ran.returncode == 1 and message in ran.stderr
    assert os.linesep not in ran.stderr.strip()

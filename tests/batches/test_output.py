"""The results of a batch: what a crash leaves behind, what a full disk does, and whose lines count."""

import errno
import json
import os
from pathlib import Path

import orjson
import pytest

from myna.batches.output import Output, Result
from myna.batches.writer import OutputWriter
from myna.stores.database_threads import DatabaseThreads
from myna.stores.file_folder import FileFolder
from myna.stores.files import Files
from myna.stores.files_memory import MemoryFiles

USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}


def answer(custom_id: str, status: int = 200) -> Result:
    return Result(custom_id, status, "r", orjson.dumps({"text": f"an answer to {custom_id}", "usage": USAGE}))


def ids(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()]


def test_lines_are_copied_and_counted_after_a_crash(tmp_path: Path) -> None:
    folder = FileFolder(tmp_path)
    first = Output(folder)
    first.append([answer("a"), answer("b", 400), answer("喂"), Result("late", 0, "", b'{"code": "x"}')])
    assert (first.totals.num_completed, first.totals.num_failed, len(first.totals.done)) == (2, 1, 3)
    names = first.results.path.name, first.errors.path.name
    first.close()
    second = Output(folder, *names)
    assert second.totals == first.totals
    assert (second.totals.input_tokens, second.totals.output_tokens, second.totals.cached_tokens) == (
        10,
        6,
        4,
    )
    assert ids(second.results.path) == ["a", "喂"]
    assert ids(second.errors.path) == ["b"], "what never ran is written when the batch ends"
    second.close()


def test_an_answer_that_is_nested_too_deeply_is_a_text(tmp_path: Path) -> None:
    deep = "[" * 1020 + "]" * 1020  # what another program, to which a model is relayed, has answered
    output = Output(FileFolder(tmp_path))
    output.append([answer("a"), Result("b", 200, "r", deep.encode())])
    output.close()
    lines = [json.loads(one) for one in output.results.path.read_bytes().splitlines()]
    assert [one["custom_id"] for one in lines] == ["a", "b"]
    assert lines[1]["response"]["body"] == deep


@pytest.mark.parametrize(
    "rest", [b'{"custom_id": "c", "resp', b"\0\0\0\0\n", b"\0" * 100, b'{"id": 1}\n', b"7\n"]
)
def test_half_a_line_and_what_follows_is_done_again(tmp_path: Path, rest: bytes) -> None:
    folder = FileFolder(tmp_path)
    first = Output(folder)
    first.append([answer("a"), answer("b")])
    first.results.append(rest)
    first.close()
    second = Output(folder, first.results.path.name, first.errors.path.name)
    assert ids(second.results.path) == ["a", "b"]
    assert second.totals.num_completed == 2
    second.append([answer("c")])
    assert ids(second.results.path) == ["a", "b", "c"]
    second.close()


def test_a_server_thought_dead_changes_nothing_any_more(tmp_path: Path) -> None:
    folder = FileFolder(tmp_path)
    first = Output(folder)
    first.append([answer("a")])
    second = Output(folder, first.results.path.name, first.errors.path.name)
    first.append([answer("b")])
    second.append([answer("b")])
    assert ids(second.results.path) == ["a", "b"]
    first.close()
    second.close()


def test_a_copy_that_finds_no_room_leaves_the_lines_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = FileFolder(tmp_path)
    first = Output(folder)
    first.append([answer("a")])
    first.close()
    names = first.results.path.name, first.errors.path.name
    monkeypatch.setattr(os, "write", _full)
    with pytest.raises(OSError):
        Output(folder, *names)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert ids(Output(folder, *names).results.path) == ["a"]


def _full(fd: int, data: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_delays_lines_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(MemoryFiles(), tmp_path, DatabaseThreads(1))
    output, write, num_failed = Output(files.folder), os.write, 0

    def full_for_a_while(fd: int, data: memoryview) -> int:
        nonlocal num_failed
        num_failed += 1
        if num_failed > 5:
            return write(fd, data)
        if num_failed % 2:
            return write(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full_for_a_while)
    writer = OutputWriter(output, files, retry_s=0.0)
    for custom_id in "abcd":
        await writer.put(answer(custom_id, 200 if custom_id != "c" else 400))
    await writer.flush()
    assert ids(output.results.path) == ["a", "b", "d"]
    assert ids(output.errors.path) == ["c"]
    assert caplog.text.count("results of batches can't be written") == 1
    output.close()
    await files.aclose()


def test_what_is_not_json_is_kept_as_text(tmp_path: Path) -> None:
    output = Output(FileFolder(tmp_path))
    output.append([Result("a", 502, "r", b"<html>")])
    (line,) = output.errors.path.read_bytes().splitlines()
    assert json.loads(line)["response"]["body"] == "<html>"
    output.close()

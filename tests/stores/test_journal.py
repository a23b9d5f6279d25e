"""The journal: what was counted outlives its process, whatever became of the file."""

import errno
import os
import random
from pathlib import Path

import msgspec
import pytest
from tests.stores.rows import usage_row

from myna.core.ledger import UsageRow
from myna.stores import journal as journals
from myna.stores.journal import Journal, JournalFull, dead_journals

DATABASE = "sqlite:///x.db"


def _die(journal: Journal) -> None:
    """End as a killed process does: nothing is said, the lock is gone."""
    journal._file.close()


def _found(folder: Path, database: str = DATABASE) -> list[UsageRow]:
    with dead_journals(folder, database) as found:
        return [row for dead in found for row in dead.rows]


def test_counts_of_an_unfinished_request_are_those_of_the_last_moment(tmp_path: Path) -> None:
    journal = Journal(tmp_path, DATABASE)
    slot = journal.take(usage_row(1, prompt_tokens=0, completion_tokens=0))
    slot.count_prompt(300, 256)
    slot.note_first_token(0)
    for tokens in (1, 2, 70_000):
        slot.count_completion(tokens)
    _die(journal)
    (row,) = _found(tmp_path)
    expected = usage_row(1, prompt_tokens=300, cached_tokens=256, completion_tokens=70_000, outcome="lost")
    assert row == msgspec.structs.replace(expected, first_token_ms=0)


def test_a_finished_request_is_found_as_it_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path, DATABASE)
    ended = usage_row(1, first_token_ms=12, duration_ms=80, outcome="failed", error="EngineDead", user="李")
    journal.take(msgspec.structs.replace(ended, outcome="completed", error="")).close(ended)
    _die(journal)
    assert _found(tmp_path) == [ended]


def test_a_slot_that_is_used_again_remembers_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, DATABASE)
    first = journal.take(usage_row(1))
    first.count_prompt(9, 9)
    first.count_completion(99)
    first.close(usage_row(1))
    journal.release([first])
    assert journal.take(usage_row(2, prompt_tokens=0, completion_tokens=0)) is first
    _die(journal)
    (row,) = _found(tmp_path)
    assert (row.id, row.prompt_tokens, row.completion_tokens, row.outcome) == ("req_2", 0, 0, "lost")


def test_a_living_server_s_journal_is_nobody_else_s(tmp_path: Path) -> None:
    journal = Journal(tmp_path, DATABASE)
    journal.take(usage_row(1))
    assert _found(tmp_path) == []
    journal.close()
    assert [row.id for row in _found(tmp_path)] == ["req_1"]


def test_one_finder_at_a_time_and_none_of_another_database(tmp_path: Path) -> None:
    journal = Journal(tmp_path, DATABASE)
    journal.take(usage_row(1))
    _die(journal)
    assert _found(tmp_path, "sqlite:///another.db") == []
    with dead_journals(tmp_path, DATABASE) as found:
        assert len(found) == 1
        assert _found(tmp_path) == []
        found[0].discard()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_journal_leaves_no_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, DATABASE)
    slot = journal.take(usage_row(1))
    journal.release([slot])
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_it_grows_and_every_slot_is_found(tmp_path: Path) -> None:
    journal = Journal(tmp_path, DATABASE)
    for number in range(1200):
        journal.take(usage_row(number, completion_tokens=0)).count_completion(number)
    _die(journal)
    assert {row.id: row.completion_tokens for row in _found(tmp_path)} == {f"req_{n}": n for n in range(1200)}


def test_a_full_disk_refuses_the_next_request_and_not_those_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, DATABASE)
    slots = [journal.take(usage_row(number)) for number in range(512)]

    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(JournalFull, match="No space left"):
            journal.take(usage_row(600))
        slots[7].count_completion(7)
        with pytest.raises(OSError, match="No space left"):
            Journal(tmp_path / "other", DATABASE)
    assert list((tmp_path / "other").iterdir()) == []
    journal.release(slots[:1])
    journal.take(usage_row(601))
    _die(journal)
    rows = {row.id: row for row in _found(tmp_path)}
    assert len(rows) == 512
    assert rows["req_7"].completion_tokens == 7


def test_it_stops_growing_at_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "_MAX_SEGMENTS", 1)
    journal = Journal(tmp_path, DATABASE)
    for number in range(512):
        journal.take(usage_row(number))
    with pytest.raises(JournalFull, match="512 requests are waiting for the database"):
        journal.take(usage_row(512))
    _die(journal)


@pytest.mark.parametrize("text", ["x" * 10_000, "鸟" * 5_000])
def test_a_row_that_is_too_long_is_cut_and_kept(tmp_path: Path, text: str) -> None:
    journal = Journal(tmp_path, DATABASE)
    journal.take(usage_row(1, asked_model=text)).count_completion(3)
    _die(journal)
    (row,) = _found(tmp_path)
    assert (row.id, row.completion_tokens) == ("req_1", 3)
    assert text.startswith(row.asked_model)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\0" * 10_000, os.urandom(300_000)])
def test_a_file_that_is_not_a_journal_is_put_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "1-aa.journal").write_bytes(content)
    with dead_journals(tmp_path, DATABASE) as found:
        assert [(list(dead.rows), dead.num_damaged) for dead in found] == [([], 1)]
        found[0].discard()
    assert [path.name for path in tmp_path.iterdir()] == ["1-aa.damaged"]


@pytest.mark.parametrize("kept", [4095, 4096, 4097, 4096 + 2048 * 3, 4096 + 2048 * 3 + 100])
def test_of_a_truncated_file_the_whole_slots_count(tmp_path: Path, kept: int) -> None:
    journal = Journal(tmp_path, DATABASE)
    for number in range(5):
        journal.take(usage_row(number))
    _die(journal)
    (path,) = tmp_path.iterdir()
    os.truncate(path, kept)
    assert [row.id for row in _found(tmp_path)] == [f"req_{n}" for n in range(max(0, (kept - 4096) // 2048))]


@pytest.mark.parametrize("seed", range(20))
def test_damage_loses_what_it_hit_and_invents_nothing(tmp_path: Path, seed: int) -> None:
    journal = Journal(tmp_path, DATABASE)
    rows = [
        usage_row(number, completion_tokens=0, prompt_tokens=0, user=f"u{number}") for number in range(40)
    ]
    for row in rows:
        slot = journal.take(row)
        slot.count_completion(50)
        if seed % 2:
            slot.close(msgspec.structs.replace(row, completion_tokens=50))
    _die(journal)
    (path,) = tmp_path.iterdir()
    rng = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(30):
        data[rng.randrange(4096, 4096 + 40 * 2048)] = rng.randrange(256)
    path.write_bytes(data)
    known = {row.id: row for row in rows}
    for found in _found(tmp_path):
        assert found.user == known[found.id].user
        assert found.completion_tokens in (0, 50)

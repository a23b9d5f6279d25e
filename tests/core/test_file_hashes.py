"""Hashes of model files: of every byte, read once, and again when the file is another."""

import hashlib
import os
from pathlib import Path

import pytest

from myna.core.file_hashes import FileHashes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "a.gguf"
    path.write_bytes(bytes(range(256)) * 4096)
    return path


def test_every_byte_counts_and_every_file(model: Path, tmp_path: Path) -> None:
    hashes = FileHashes(tmp_path / "hashes.json")
    first = hashes.digest([model])
    data = bytearray(model.read_bytes())
    data[777_777] ^= 1
    other = tmp_path / "b.gguf"
    other.write_bytes(data)
    assert (
        len({first, hashes.digest([other]), hashes.digest([model, other]), hashes.digest([other, model])})
        == 4
    )
    copy = tmp_path / "c.gguf"
    copy.write_bytes(model.read_bytes())
    assert hashes.digest([copy]) == first


def test_a_file_is_read_once_while_it_stays(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "home" / "hashes.json"
    first = FileHashes(cache).digest([model])
    monkeypatch.setattr(hashlib, "file_digest", None)  # another reading would fail
    assert FileHashes(cache).digest([model]) == first


def test_a_hash_that_is_known_already_is_used_until_the_file_changes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = FileHashes(tmp_path / "other.json").digest([model])
    hashes = FileHashes(tmp_path / "hashes.json")
    hashes.remember(model, hashlib.sha256(model.read_bytes()).hexdigest())
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", None)
        assert hashes.digest([model]) == read
    model.write_bytes(b"another one")
    assert hashes.digest([model]) != read


def test_processes_that_note_hashes_at_once_write_files_of_their_own(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hashes.json"
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            patch.setattr(os, "getpid", lambda: -1)  # another process, between this one's two steps
            FileHashes(cache).remember(model, "theirs")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    FileHashes(cache).remember(model, "ours")
    assert '"ours"' in cache.read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_a_file_that_changed_is_read_again_also_at_the_same_size_and_time(
    model: Path, tmp_path: Path, how: str
) -> None:
    hashes = FileHashes(tmp_path / "hashes.json")
    first, status = hashes.digest([model]), model.stat()
    changed = b"x" + model.read_bytes()[1:]
    if how == "replaced":
        other = tmp_path / "new"
        other.write_bytes(changed)
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
        other.replace(model)
    else:
        model.write_bytes(changed)
        os.utime(model, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert hashes.digest([model]) != first


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', '{"%s": {"mark": 1}}'])
def test_a_broken_cache_is_as_good_as_none(model: Path, tmp_path: Path, content: str) -> None:
    cache = tmp_path / "hashes.json"
    cache.write_text(content.replace("%s", str(model)))
    assert FileHashes(cache).digest([model]) == FileHashes(tmp_path / "none.json").digest([model])


def test_a_home_that_can_not_be_written_costs_no_answer(model: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    hashes = FileHashes(blocked / "hashes.json")
    assert hashes.digest([model]) == hashes.digest([model])


def test_what_is_gone_is_forgotten(model: Path, tmp_path: Path) -> None:
    cache, other = tmp_path / "hashes.json", tmp_path / "b.gguf"
    other.write_bytes(b"b")
    hashes = FileHashes(cache)
    hashes.digest([other])
    other.unlink()
    hashes.digest([model])
    assert str(other) not in cache.read_text()
    assert str(model) in cache.read_text()

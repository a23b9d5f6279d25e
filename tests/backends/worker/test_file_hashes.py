"""Hashes of model files: of every byte, read once, and again when the file is another."""

import hashlib
import os
from pathlib import Path

import pytest

from myna.backends.worker.file_hashes import FileHashes


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

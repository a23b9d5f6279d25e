"""The file of saved prefixes, as the server opens it."""

import os
from pathlib import Path

import pytest

from myna.workers.prefix_store import PrefixStore


@pytest.mark.parametrize("before", [0, 4096])
def test_a_full_disk_gets_back_what_could_be_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    def until_full(descriptor: int, offset: int, num_bytes: int) -> None:
        os.ftruncate(descriptor, num_bytes // 2)
        raise OSError(28, "No space left on device")

    path = tmp_path / "prefixes" / "x.kv"
    path.parent.mkdir()
    path.write_bytes(bytes(before))
    monkeypatch.setattr(os, "posix_fallocate", until_full)
    assert PrefixStore.open(path, 1 << 20) is None
    assert path.stat().st_size == before


def test_two_servers_cannot_use_one_file(tmp_path: Path) -> None:
    first = PrefixStore.open(tmp_path / "x.kv", 1 << 16)
    assert first is not None
    assert PrefixStore.open(tmp_path / "x.kv", 1 << 17) is None
    assert (tmp_path / "x.kv").stat().st_size == 1 << 16
    first.close()

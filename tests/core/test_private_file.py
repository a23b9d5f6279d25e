"""Files with secrets."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from myna.core import private_file
from myna.core.errors import ConfigurationError


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="is full; free some space"):
        private_file.ensure(tmp_path / "key", lambda: "sk-1")
    assert not list(tmp_path.iterdir())


def test_a_disk_without_links_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(link: Path, target: Path) -> NoReturn:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", refused)
    with pytest.raises(ConfigurationError, match="Operation not permitted"):
        private_file.ensure(tmp_path / "key", lambda: "sk-1")
    assert not list(tmp_path.iterdir())

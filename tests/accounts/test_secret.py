"""The server's secret: made once, read by its owner alone, never shown."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from myna.accounts.secret import Secret, load_secret
from myna.core.errors import ConfigurationError


def test_the_first_to_ask_makes_it_and_all_others_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "home" / "secret"
    with ThreadPoolExecutor(8) as threads:
        prints = set(threads.map(lambda _: load_secret("", path).fingerprint, range(16)))
    assert len(prints) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text().strip()) == 64


def test_a_setting_is_used_instead_and_makes_no_file(tmp_path: Path) -> None:
    secret = load_secret("s" * 32, tmp_path / "secret")
    assert secret.fingerprint == Secret("s" * 32).fingerprint
    assert not (tmp_path / "secret").exists()


def test_one_that_could_be_guessed_or_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="openssl rand -hex 32"):
        load_secret("short", tmp_path / "secret")
    load_secret("", tmp_path / "secret")
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_secret("", tmp_path / "secret")


def test_it_shows_itself_nowhere() -> None:
    secret = Secret("a secret that must not be seen by anyone")
    assert "must not be seen" not in repr(secret)
    assert "must not be seen" not in secret.fingerprint

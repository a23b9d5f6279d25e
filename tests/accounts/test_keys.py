"""Keys: their form, their file, and how valid ones are recognized."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from myna.accounts import keys
from myna.accounts.keys import KeyRing, is_well_formed, load_or_create_keys, mask_key, new_key, read_keys
from myna.core.errors import ConfigurationError


def test_a_new_key_has_our_form_and_a_checksum_that_finds_typing_errors() -> None:
    key = new_key()
    assert key.startswith("sk-myna-")
    assert is_well_formed(key)
    assert new_key() != key
    for position in range(len(key)):
        other = "x" if key[position] != "x" else "y"
        assert not is_well_formed(key[:position] + other + key[position + 1 :])
    assert not is_well_formed("sk-test")


@pytest.mark.parametrize(
    ("key", "masked"),
    [
        ("ai", "ai"),
        ("invalid-key", "invalid-key"),
        ("x" * 12, "x" * 12),
        ("FAKE-OPENAI-KEY", "FAKE-OPE***-KEY"),
        ("ghp_JgOy" + "a" * 28 + "MBlk", "ghp_JgOy" + "*" * 28 + "MBlk"),
    ],
)
def test_masking_shows_eight_and_four_characters_of_a_long_key(key: str, masked: str) -> None:
    assert mask_key(key) == masked


def test_a_ring_knows_its_keys_and_no_others() -> None:
    first, second = new_key(), new_key()
    ring = KeyRing([first, second])
    found, other = ring.find(first), ring.find(second)
    assert found is not None
    assert other is not None
    assert found.key_id != other.key_id
    assert found.key_id == keys.key_id(first)
    for stranger in ("", first[:-1], first + "x", first.upper(), "\udc80", "ключ"):
        assert ring.find(stranger) is None
    assert first not in repr(vars(ring))


def test_a_ring_without_keys_is_an_error() -> None:
    with pytest.raises(ConfigurationError):
        KeyRing([])


def test_the_first_start_makes_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys"
    (key,) = load_or_create_keys(path)
    assert is_well_formed(key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_keys(path) == (key,)
    assert [entry.name for entry in path.parent.iterdir()] == ["keys"]


def test_two_first_starts_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(load_or_create_keys, [tmp_path / "keys"] * 16))
    assert len(found) == 1


def test_a_file_may_hold_several_keys_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keys.write_keys(path, ["first-key-1", "second-key-2"])
    with path.open("a") as file:
        file.write("\n# mine\nthird-key-3  # laptop\n")
    assert read_keys(path) == ("first-key-1", "second-key-2", "third-key-3")


@pytest.mark.parametrize(
    "content", ["", "# none\n", "short", "with space inside", "ключ-ключ-ключ", "\x00" * 9]
)
def test_a_file_without_a_usable_key_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"keys"):
        read_keys(path)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_that_others_may_touch_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    load_or_create_keys(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_keys(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    before = load_or_create_keys(path)

    def broken() -> object:
        yield new_key()
        raise OSError("disk full")

    with pytest.raises(ConfigurationError, match="disk full"):
        keys.write_keys(path, broken())  # type: ignore[arg-type]
    assert load_or_create_keys(path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]

"""API keys: their format, the key file, and the lookup of a presented key. Plain keys are only returned to
the file's owner; hashes are compared in constant time."""

import hashlib
import hmac
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from myna.accounts.principal import Principal
from myna.core import base62
from myna.core.errors import ConfigurationError
from myna.core.private_file import ensure, read_lines, write_lines
from myna.core.translatable import N_, Translatable

PREFIX: Final = "sk-myna-"
_RANDOM_LENGTH: Final = 32  # 190 bits
_CHECK_LENGTH: Final = 6  # a CRC-32 in base 62
MIN_KEY_LENGTH: Final = 8


def new_key() -> str:
    """`sk-myna-`, 32 random characters, and a checksum of 6: secret scanners and typing errors can be
    detected."""
    body = base62.random_text(_RANDOM_LENGTH)
    return PREFIX + body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Whether the key has our format and a correct checksum."""
    body = key.removeprefix(PREFIX)
    return (
        body != key
        and len(body) == _RANDOM_LENGTH + _CHECK_LENGTH
        and hmac.compare_digest(_checksum(body[:_RANDOM_LENGTH]).encode(), body[_RANDOM_LENGTH:].encode())
    )


def key_id(key: str) -> str:
    """A short public id of the key, for logs: a part of its hash."""
    return f"key_{_digest(key).hex()[:8]}"


def mask_key(key: str) -> str:
    """The key as shown in errors: short ones whole, longer ones without their middle."""
    return key if len(key) <= 12 else key[:8] + "*" * (len(key) - 12) + key[-4:]


def redact_key(key: str) -> str:
    """A key of ours as shown in lists: recognizable for its owner, but unusable."""
    return f"{key[: len(PREFIX) + 3]}...{key[-4:]}"


class KeyRing:
    """The owner's keys, as hashes."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._principals = [(_digest(key), Principal(key_id(key))) for key in keys]
        if not self._principals:
            raise ConfigurationError(N_("There is no API key; set MYNA_API_KEY or run: myna key new"))

    def find(self, key: str) -> Principal | None:
        """The principal of the key. Compares every hash, so that timing reveals nothing."""
        digest = _digest(key)
        found = None
        for known, principal in self._principals:
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def principal(self, key_id: str) -> Principal | None:
        """The principal of the key with that id."""
        return next((one for _, one in self._principals if one.key_id == key_id), None)


def read_keys(path: Path) -> tuple[str, ...]:
    """The keys of a key file, one per line; `#` starts a comment. Raises `ConfigurationError`."""
    keys = read_lines(path, "key")
    for number, key in enumerate(keys, start=1):
        check_key(key, N_("Key {number} in {path}", number=number, path=path))
    return keys


def write_keys(path: Path, keys: Iterable[str]) -> None:
    """Replace the key file."""
    write_lines(path, keys)


def load_or_create_keys(path: Path) -> tuple[str, ...]:
    """The file's keys; if there is no file, creates one with a new key. Concurrent first starts agree on one
    key."""
    ensure(path, new_key)
    return read_keys(path)


def check_key(key: str, what: Translatable) -> None:
    """Raise `ConfigurationError` for a key that clients can't send or that is too short to be safe."""
    if len(key) < MIN_KEY_LENGTH:
        raise ConfigurationError(
            N_("{what} is shorter than {length} characters.", what=what, length=MIN_KEY_LENGTH)
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(N_("{what} has characters that an HTTP header can't carry.", what=what))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _checksum(body: str) -> str:
    return base62.encode(zlib.crc32(body.encode()), _CHECK_LENGTH)

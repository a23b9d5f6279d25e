"""The server's secret, with which keys are hashed: the database alone is not enough to test keys against."""

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

from myna.core.errors import ConfigurationError
from myna.core.private_file import ensure, read_lines
from myna.core.translatable import N_

MIN_SECRET_LENGTH: Final = 32


class Secret:
    """Hashes keys. `fingerprint` identifies the secret without revealing it."""

    def __init__(self, text: str) -> None:
        """Raises `ConfigurationError` if it is too short."""
        if len(text) < MIN_SECRET_LENGTH:
            raise ConfigurationError(
                N_(
                    "The secret is shorter than {length} characters; make one with: openssl rand -hex 32",
                    length=MIN_SECRET_LENGTH,
                )
            )
        self._bytes = text.encode("utf-8", "surrogatepass")
        self.fingerprint = self.digest("which secret this is")

    def digest(self, key: str) -> str:
        """The digest of a key that is stored in the database, as 64 hexadecimal digits."""
        return hmac.new(self._bytes, key.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def mac(self, data: bytes) -> bytes:
        """A code that only a server with this secret can compute; digests of keys are never one."""
        return hmac.new(self._bytes, b"\0" + data, hashlib.sha256).digest()


def load_secret(setting: str, path: Path) -> Secret:
    """The secret from the setting, or from the file, which is created if it doesn't exist."""
    if setting:
        return Secret(setting)
    ensure(path, lambda: secrets.token_hex(32))
    return Secret(read_lines(path, "secret")[0])

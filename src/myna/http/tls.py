"""The server's certificate: checked when it is read, read again without dropping a connection."""

import ssl
from pathlib import Path

from myna.core.errors import ConfigurationError
from myna.core.translatable import N_


class Certificate:
    """`context` stays the same object when the files are read again: connections that are made from then
    on get the new certificate."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Raises `ConfigurationError` for files that are no certificate chain with its key."""
        self._cert = cert
        self._key = key
        self.context = self._read()

    def reload(self) -> None:
        """Raises like the constructor, and then nothing has changed."""
        self._read()
        self.context.load_cert_chain(self._cert, self._key, _no_password)

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        for path in (self._cert, self._key):
            try:
                path.open("rb").close()
            except OSError as exc:
                raise ConfigurationError(
                    N_("Can't read {path} for TLS: {reason}.", path=path, reason=exc.strerror)
                ) from exc
        try:
            context.load_cert_chain(self._cert, self._key, _no_password)
        except (ssl.SSLError, ValueError) as exc:
            raise ConfigurationError(
                N_(
                    "{cert} and {key} are not a certificate chain and its unencrypted key as PEM: {reason}.",
                    cert=self._cert,
                    key=self._key,
                    reason=exc,
                )
            ) from exc
        return context


def _no_password() -> str:
    """Asked for an encrypted key; OpenSSL would prompt on the terminal."""
    return ""

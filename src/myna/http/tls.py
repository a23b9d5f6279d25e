"""The server's TLS certificate, validated when read and reloadable without dropping connections."""

import ssl
from pathlib import Path

from myna.core.errors import ConfigurationError
from myna.core.translatable import N_


class Certificate:
    """`context` stays the same object when the files are reloaded; new connections get the new
    certificate."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Raises `ConfigurationError` if the files are not a certificate chain and its key."""
        self._cert = cert
        self._key = key
        self.context = self._read()

    def reload(self) -> None:
        """Raises like the constructor; then the old certificate stays in use."""
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
    """The password of an encrypted key: without this, OpenSSL would prompt on the terminal."""
    return ""

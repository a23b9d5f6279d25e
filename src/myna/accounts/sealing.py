"""Opaque tokens that carry a text to the client and back: compressed, and authenticated with the server's
secret. Their text is the client's own already, so it isn't encrypted."""

import base64
import binascii
import hmac
import zlib
from typing import Final

from myna.accounts.secret import Secret

_MAC_BYTES: Final = 32
_LEVEL: Final = 1  # fast: tokens are made while a stream is being sent


class Sealer:
    """Makes and reads tokens. A token of one `kind` isn't one of another."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def seal(self, text: str, kind: str) -> str:
        """A token with that text."""
        packed = zlib.compress(text.encode("utf-8", "surrogatepass"), _LEVEL)
        return base64.urlsafe_b64encode(self._mac(packed, kind) + packed).decode("ascii")

    def open(self, token: str, kind: str) -> str | None:
        """The text of a token that `seal` made, on any server with the same secret; otherwise None."""
        try:
            data = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, packed = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(packed, kind)):
            return None
        return zlib.decompress(packed).decode("utf-8", "surrogatepass")

    def _mac(self, data: bytes, kind: str) -> bytes:
        return self._secret.mac(kind.encode() + b"\0" + data)

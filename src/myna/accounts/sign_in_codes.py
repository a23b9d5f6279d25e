"""Single-use codes with which the owner's browser signs in by a link, instead of a pasted key."""

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
import time
from collections.abc import Callable
from typing import Final

VALID_S: Final = 3600
_STAMP: Final = struct.Struct(">Q16s")  # expiry in Unix seconds, random bytes
_MAC_BYTES: Final = 16


def new_sign_in_code(key: str, now_s: float) -> str:
    """A code for the server that has this key, valid for an hour. Everyone who has the key can make
    one, without asking the server."""
    stamp = _STAMP.pack(int(now_s) + VALID_S, secrets.token_bytes(16))
    return base64.urlsafe_b64encode(stamp + _mac(key, stamp)).rstrip(b"=").decode("ascii")


class SignInCodes:
    """Exchanges each code made with `key` for it, once. Codes from before it was created are invalid, since
    it doesn't know which were used. `clock` gives Unix seconds. Used in one thread."""

    def __init__(self, key: str, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock
        self._created = int(clock())
        self._used: dict[bytes, int] = {}

    def redeem(self, code: str) -> str | None:
        """The key; None for a code that is invalid, used before or expired."""
        try:
            data = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
            stamp, mac = data[: _STAMP.size], data[_STAMP.size :]
            expiry, _ = _STAMP.unpack(stamp)
        except (binascii.Error, struct.error, ValueError):
            return None
        now = self._clock()
        self._used = {used: until for used, until in self._used.items() if until > now}
        is_valid = hmac.compare_digest(mac, _mac(self._key, stamp))
        is_current = self._created <= expiry - VALID_S <= now < expiry
        if not (is_valid and is_current) or stamp in self._used:
            return None
        self._used[stamp] = expiry
        return self._key


def _mac(key: str, stamp: bytes) -> bytes:
    return hmac.new(key.encode(), b"myna sign-in" + stamp, hashlib.sha256).digest()[:_MAC_BYTES]

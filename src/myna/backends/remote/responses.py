"""Parts of an upstream's HTTP response."""

import time
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from myna.backends.remote.connection import Response

_MAX_MODELS: Final = 10_000
_MAX_NAME: Final = 256


class _Listed(msgspec.Struct):
    id: str
    created: object = None


class _Listing(msgspec.Struct):
    data: list[_Listed]


async def read_body(response: Response, limit: int) -> bytes:
    """The body, up to `limit` bytes."""
    body = bytearray()
    while data := await response.read():
        body += data
        if len(body) > limit:
            break
    return bytes(body[:limit])


def read_listing(body: bytes) -> dict[str, int]:
    data = msgspec.json.decode(body, type=_Listing).data[:_MAX_MODELS]
    return {
        model.id: model.created if isinstance(model.created, int) and model.created > 0 else 0
        for model in data
        if 0 < len(model.id) <= _MAX_NAME and model.id.isprintable()
    }


def header(response: Response, name: bytes) -> bytes:
    return next((value.strip() for key, value in response.headers if key.lower() == name), b"")


def retry_after_s(response: Response) -> float | None:
    """When to retry, in any of the forms that servers use."""
    text = header(response, b"retry-after").decode("ascii", "replace")
    try:
        wait_ms = float(header(response, b"retry-after-ms") or b"nan")
        wait_s = wait_ms / 1000 if wait_ms == wait_ms else float(text)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(wait_s, 0.001), 86_400.0) if wait_s == wait_s else None

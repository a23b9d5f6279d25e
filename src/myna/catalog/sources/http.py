"""Downloads over HTTP: with timeouts, resuming at any byte, never sending tokens to other hosts."""

import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from myna.catalog.partial import PartialFile
from myna.core.errors import DownloadFailed
from myna.core.translatable import N_, Translatable

_READ_BYTES = 1 << 18
_STALL_S = 30.0
_MAX_ATTEMPTS = 3


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Drops the token on a redirect to another host, such as a hub's storage."""

    def redirect_request(self, *args: Any, **named: Any) -> urllib.request.Request | None:
        old: urllib.request.Request = args[0]
        new = super().redirect_request(*args, **named)
        if new is not None and new.host != old.host:
            new.remove_header("Authorization")
        return new


def _open(
    url: str, headers: Mapping[str, str], timeout_s: float, method: str = "GET"
) -> http.client.HTTPResponse:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DownloadFailed(N_("invalid URL: {url}", url=url))
    request = urllib.request.Request(url, headers=dict(headers), method=method)  # noqa: S310
    opener = urllib.request.build_opener(_Redirects)
    response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    return response


def _refusal(exc: urllib.error.HTTPError) -> DownloadFailed:
    """Closes the response, which holds its connection."""
    exc.close()
    return DownloadFailed(N_("it returned {code} {reason}", code=exc.code, reason=exc.reason))


def ask(url: str, headers: Mapping[str, str], timeout_s: float) -> None:
    """Returns if there is a file at the URL. Raises `DownloadFailed` with the reason otherwise."""
    try:
        _open(url, headers, timeout_s, "HEAD").close()
    except urllib.error.HTTPError as exc:
        raise _refusal(exc) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise DownloadFailed(reason_of(exc)) from exc


def get(url: str, timeout_s: float, max_bytes: int) -> bytes:
    """A small document. Raises `DownloadFailed`, also if it is larger than `max_bytes`."""
    try:
        with _open(url, {}, timeout_s) as response:
            data = response.read(max_bytes + 1)
    except urllib.error.HTTPError as exc:
        raise _refusal(exc) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise DownloadFailed(reason_of(exc)) from exc
    if len(data) > max_bytes:
        raise DownloadFailed(N_("it has more than {max_bytes:,} bytes", max_bytes=max_bytes))
    return data


def fetch(url: str, headers: Mapping[str, str], partial: PartialFile) -> None:
    """Append the missing bytes, retrying after interruptions as long as attempts make progress."""
    num_failed = 0
    while partial.size < partial.total_bytes:
        before = partial.size
        try:
            _fetch_once(url, headers, partial)
            reason: str | Translatable = N_("the connection closed early")
        except urllib.error.HTTPError as exc:
            raise _refusal(exc) from exc
        except http.client.HTTPException as exc:
            reason = reason_of(exc)
        except urllib.error.URLError as exc:
            reason = reason_of(exc)
        except (TimeoutError, ConnectionError) as exc:  # any other OSError comes from the local disk
            reason = reason_of(exc)
        num_failed = num_failed + 1 if partial.size == before else 0
        if partial.size < partial.total_bytes and num_failed >= _MAX_ATTEMPTS:
            raise DownloadFailed(
                N_(
                    "the download was interrupted at {size:,} bytes: {reason}",
                    size=partial.size,
                    reason=reason,
                )
            )


def _fetch_once(url: str, headers: Mapping[str, str], partial: PartialFile) -> None:
    range_headers = {**headers, "Range": f"bytes={partial.size}-"} if partial.size else headers
    with _open(url, range_headers, _STALL_S) as response:
        if partial.size and response.status != 206:
            partial.truncate(0)  # the server ignores the range and sends from the start
        while chunk := response.read(_READ_BYTES):
            partial.append(chunk)


def reason_of(exc: BaseException) -> str | Translatable:
    """The reason why a connection failed."""
    inner = getattr(exc, "reason", None)
    if isinstance(inner, BaseException):
        return reason_of(inner)
    if isinstance(exc, TimeoutError):
        return N_("no answer in time")
    if isinstance(exc, socket.gaierror) and exc.errno == socket.EAI_NONAME:
        return N_("Name or service not known")
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or type(exc).__name__

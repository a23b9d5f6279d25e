"""Bytes over HTTP for the hubs: asked with a deadline, resumed at any byte, keys kept from other hosts."""

import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from myna.catalog.partial import Partial
from myna.core.errors import DownloadFailed
from myna.core.translatable import N_, Translatable

_READ_BYTES = 1 << 18
_STALL_S = 30.0
_NUM_TRIES = 3


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Hubs redirect to their storage; a token must not follow to another host."""

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
        raise DownloadFailed(N_("{url} is not a web address", url=url))
    request = urllib.request.Request(url, headers=dict(headers), method=method)  # noqa: S310
    opener = urllib.request.build_opener(_Redirects)
    response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    return response


def ask(url: str, headers: Mapping[str, str], timeout_s: float) -> None:
    """Returns if the address has a file. Raises `DownloadFailed` saying why it does not."""
    try:
        _open(url, headers, timeout_s, "HEAD").close()
    except urllib.error.HTTPError as exc:
        raise DownloadFailed(N_("it answered {code} {reason}", code=exc.code, reason=exc.reason)) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise DownloadFailed(reason_of(exc)) from exc


def fetch(url: str, headers: Mapping[str, str], partial: Partial) -> None:
    """Append what is missing, going on after a break as long as each try brings something."""
    num_tries = 0
    while partial.size < partial.total_bytes:
        before = partial.size
        try:
            _fetch_once(url, headers, partial)
            reason: str | Translatable = N_("it ended before the file did")
        except urllib.error.HTTPError as exc:
            raise DownloadFailed(N_("it answered {code} {reason}", code=exc.code, reason=exc.reason)) from exc
        except http.client.HTTPException as exc:
            reason = reason_of(exc)
        except urllib.error.URLError as exc:
            reason = reason_of(exc)
        except (TimeoutError, ConnectionError) as exc:  # any other OSError is our own disk's
            reason = reason_of(exc)
        num_tries = num_tries + 1 if partial.size == before else 0
        if partial.size < partial.total_bytes and num_tries >= _NUM_TRIES:
            raise DownloadFailed(
                N_("the download broke off at {size:,} bytes: {reason}", size=partial.size, reason=reason)
            )


def _fetch_once(url: str, headers: Mapping[str, str], partial: Partial) -> None:
    wanted = {**headers, "Range": f"bytes={partial.size}-"} if partial.size else headers
    with _open(url, wanted, _STALL_S) as response:
        if partial.size and response.status != 206:
            partial.keep(0)  # the server sends from the start, whatever was asked
        while chunk := response.read(_READ_BYTES):
            partial.append(chunk)


def reason_of(exc: BaseException) -> str | Translatable:
    """Why a connection failed, in words."""
    inner = getattr(exc, "reason", None)
    if isinstance(inner, BaseException):
        return reason_of(inner)
    if isinstance(exc, TimeoutError):
        return N_("no answer in time")
    if isinstance(exc, socket.gaierror) and exc.errno == socket.EAI_NONAME:
        return N_("Name or service not known")
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or type(exc).__name__

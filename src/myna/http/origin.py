"""Checks `Host` and `Origin`: against DNS rebinding and requests from other sites' pages."""

import ipaddress
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from myna.http.record import record_of
from myna.wire.errors import ForbiddenSource


@dataclass(frozen=True, slots=True)
class AllowedSources:
    """The operator's allowlists; `*` in either allows everything. Without `hosts`, any host is allowed (a
    public address is protected by the key)."""

    hosts: Collection[str]
    origins: Collection[str]

    def admits_host(self, host: str) -> bool:
        return not self.hosts or "*" in self.hosts or host in {name.lower() for name in self.hosts}

    def lists_origin(self, origin: str) -> bool:
        return "*" in self.origins or origin.lower() in {name.rstrip("/").lower() for name in self.origins}


class SourceCheck:
    """Checks `Host` and `Origin`, and answers CORS preflights for the allowed origins. An origin passes if it
    is the server itself or on the list. `sources` is called for each request."""

    def __init__(self, app: ASGIApp, *, sources: Callable[[], AllowedSources]) -> None:
        self._app = app
        self._sources = sources

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._sources().admits_host(host_name(host)):
            raise ForbiddenSource(
                f"This server does not accept the host {host!r}. "
                "If that is its name, add it to the setting allowed_hosts."
            )
        origin = headers.get("origin")
        if origin is not None and not await self._admit(scope, receive, send, origin, host, headers):
            return
        await self._app(scope, receive, send)

    async def _admit(
        self, scope: Scope, receive: Receive, send: Send, origin: str, host: str, headers: Headers
    ) -> bool:
        """Whether the request continues; a preflight is answered here."""
        if self._sources().lists_origin(origin):
            record_of(scope).headers += [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-expose-headers", b"X-Request-ID"),
                (b"vary", b"Origin"),
            ]
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await _preflight(headers)(scope, receive, send)
                return False
            return True
        if urlsplit(origin).netloc.lower() == host.lower() and host:
            return True
        raise ForbiddenSource(
            f"Pages of {origin!r} may not call this server. "
            "If they are yours, add their origin to the setting cors_origins."
        )


def _preflight(headers: Headers) -> Response:
    wanted = headers.get("access-control-request-headers", "authorization, content-type")
    return Response(
        status_code=204,
        headers={
            "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
            "access-control-allow-headers": wanted,
            "access-control-max-age": "600",
        },
    )


def host_name(header: str) -> str:
    """The name in a Host header, without its port and brackets."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].split("]", 1)[0]
    return text.rsplit(":", 1)[0] if ":" in text else text


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hosts_for(bound_to: str, allowed: Collection[str]) -> frozenset[str]:
    """The host names to accept on that address: on loopback its own names, elsewhere the list."""
    if is_loopback(bound_to):
        return frozenset({bound_to, "localhost", "127.0.0.1", "::1", *allowed})
    return frozenset({*allowed, "localhost", "127.0.0.1", "::1", bound_to} if allowed else ())

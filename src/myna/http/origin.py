"""Checks `Host` and `Origin`: against DNS rebinding and requests from other sites' pages."""

import ipaddress
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from myna.http.record import record_of
from myna.wire.errors import ForbiddenSource, MalformedHttp

# Fields that must not be repeated: which one counts would depend on who reads them.
_SINGLE_FIELDS: Final = frozenset(
    (b"host", b"origin", b"authorization", b"x-api-key", b"content-type", b"content-encoding")
)
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^][:@/?#\\\s]*))(?::[0-9]*)?")
# No site has an address in this domain: it is always the same machine (RFC 6761).
_LOCAL_NAMES: Final = "*.localhost"
DOCKER_HOST: Final = "host.docker.internal"
"""The name under which containers of Docker Desktop reach programs on their host."""


@dataclass(frozen=True, slots=True)
class AllowedSources:
    """The operator's allowlists; `*` in either allows everything, and `*.name` in `hosts` all names below
    that. Without `hosts`, any host is allowed (a public address is protected by the key). `asks_for_key`:
    requests need a key."""

    hosts: Collection[str]
    origins: Collection[str]
    asks_for_key: bool = False

    def admits_host(self, host: str) -> bool:
        if host in self.hosts:  # nearly always
            return True
        names = {name.lower() for name in self.hosts}
        if not names or "*" in names or host in names:
            return True
        return any(name.startswith("*.") and host.endswith(name[1:]) for name in names)

    def lists_origin(self, origin: str) -> bool:
        return "*" in self.origins or origin.lower() in {name.rstrip("/").lower() for name in self.origins}

    def trusts_with_key(self, origin: str) -> bool:
        """Whether requests from that origin are allowed that have a key, which a site's page doesn't know."""
        return self.asks_for_key and not is_site(origin)


class SourceCheck:
    """Checks `Host` and `Origin`, and answers CORS preflights for the allowed origins. `sources` is called
    for each request.

    An origin passes if it is the server itself or on the list. That of a program on the user's machine (a
    desktop app, an extension, a page from localhost or from a file) passes for requests to the API that have
    a bearer token: a browser never adds one by itself, as it does cookies. Without a key, and outside the
    API, such an origin is nothing special: any site can make its pages look like a file's (`null`).
    """

    def __init__(self, app: ASGIApp, *, sources: Callable[[], AllowedSources]) -> None:
        self._app = app
        self._sources = sources

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        single = _single_fields(scope)
        host = str(single.get(b"host", b""), "latin-1")
        name = _parsed_host(host)
        if name is None:
            raise MalformedHttp("The request's Host header is not a host name with an optional port.")
        if b"host" not in single and scope["http_version"] != "1.0":
            raise MalformedHttp("The request has no Host header.")
        if not self._sources().admits_host(name):
            raise ForbiddenSource(
                f"This server does not accept the host {host!r}. "
                "If that is its name, add it to the setting allowed_hosts."
            )
        if b"origin" in single:
            origin = str(single[b"origin"], "latin-1")
            if not await self._admit(scope, receive, send, origin, host, Headers(scope=scope)):
                return
        await self._app(scope, receive, send)

    async def _admit(
        self, scope: Scope, receive: Receive, send: Send, origin: str, host: str, headers: Headers
    ) -> bool:
        """Whether the request continues; a preflight is answered here."""
        is_preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
        sources = self._sources()
        needs_key = not sources.lists_origin(origin)
        if needs_key and host and origin.partition("://")[2].lower() == host.lower():
            return True  # the server's own page
        if needs_key and not (sources.trusts_with_key(origin) and scope["path"].startswith("/v1/")):
            raise ForbiddenSource(
                f"Pages of {origin!r} may not call this server. "
                "If they are yours, add their origin to the setting cors_origins."
            )
        record_of(scope).headers += [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", b"X-Request-ID, Request-ID, X-Myna-Hint, X-Myna-Ignored"),
            (b"vary", b"Origin"),
        ]
        if is_preflight:
            await _preflight(headers)(scope, receive, send)
            return False
        if needs_key and not headers.get("authorization", "").lower().startswith("bearer "):
            raise ForbiddenSource(
                f"Pages of {origin!r} may call this server only with an API key in the Authorization header, "
                "using Bearer auth."
            )
        return True


def _single_fields(scope: Scope) -> dict[bytes, bytes]:
    """The fields that must be single. Raises `MalformedHttp` if one is repeated."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _SINGLE_FIELDS:
            if name in found:
                raise MalformedHttp(f"The request has more than one {name.decode('ascii').title()} header.")
            found[name] = value
    return found


def is_site(origin: str) -> bool:
    """Whether the origin is that of a web site, and not of a program or page of the user's machine: a scheme
    that apps and extensions register (`app://…`, `chrome-extension://…`), a loopback address, or `null`,
    which is what files have."""
    try:
        parts = urlsplit(origin.lower())
        host = parts.hostname or ""
    except ValueError:
        return True
    if origin == "null" or (parts.scheme and parts.scheme not in ("http", "https", "ws", "wss")):
        return False
    return not (is_loopback(host) or host.endswith(_LOCAL_NAMES[1:]))


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
    """The name in a Host header, without its port and brackets; empty if it is malformed."""
    return _parsed_host(header) or ""


def _parsed_host(header: str) -> str | None:
    """None if it is malformed."""
    found = _HOST.fullmatch(header.strip().lower())
    return (found[1] or found[2] or "") if found else None


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hosts_for(bound_to: str, allowed: Collection[str], *, asks_for_key: bool = True) -> frozenset[str]:
    """The host names to accept on that address: on loopback its own names, elsewhere the list.

    Containers' name for their host isn't reserved in the way that localhost is: the network's name server
    could make a browser take it for a site. So it is only accepted where requests need a key.
    """
    own = {bound_to, "localhost", "127.0.0.1", "::1", _LOCAL_NAMES} | (
        {DOCKER_HOST} if asks_for_key else set()
    )
    if is_loopback(bound_to):
        return frozenset({*own, *allowed})
    return frozenset({*own, *allowed} if allowed else ())

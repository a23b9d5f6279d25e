"""One upstream: its connections, models, load and cooldown."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

import httpcore2
import msgspec
import orjson

from myna import __version__
from myna.backends.remote.answers import AnswerReader, MessagesReader
from myna.backends.remote.connection import ConnectionPool, Response
from myna.backends.remote.cooldown import Cooldown
from myna.backends.remote.responses import header, read_body, read_listing, retry_after_s
from myna.backends.remote.section import UpstreamConfig
from myna.backends.remote.stream import BROKEN, RelayedStream
from myna.core.errors import ConfigurationError, Overloaded, UpstreamFailed, UpstreamRefused, UpstreamTimeout
from myna.core.relay import RelayRequest

_CONNECT_S: Final = 5.0
_KEEP_ALIVE_S: Final = 4.0  # less than servers keep an idle connection, uvicorn's 5 s among them
_LISTING_S: Final = 5.0
_MAX_REFUSAL_BYTES: Final = 64 << 10
_MAX_LISTING_BYTES: Final = 8 << 20
_TOO_MANY: Final = 429
_REFUSES_KEY: Final = frozenset({401, 402, 403, 407})
_OVERLOADED: Final = frozenset({503, 529})
_MESSAGES: Final = "messages"
_MESSAGES_VERSION: Final = "2023-06-01"
_NOT_THE_CLIENTS: Final = frozenset({405, 408, 421, 425, 426})

_log: Final = logging.getLogger(__name__)


class Upstream:
    """To be used in one event loop. `on_free` is called when a request has ended. Times are `clock`'s."""

    def __init__(
        self,
        name: str,
        config: UpstreamConfig,
        on_free: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.config = config
        self._timeout_s: Final = config.timeout_s
        self._on_free = on_free
        self._key: str | None = None
        self._pool: ConnectionPool | None = None
        self._opening = asyncio.Lock()
        self._takes_stream_options = True
        self.num_running = 0
        self.cooldown: Final = Cooldown(clock)
        self.models: dict[str, int] = {name: 0 for name in config.models if "*" not in name}
        """The models it serves, with their creation times in Unix seconds."""

    def may_serve(self, model: str) -> bool:
        """Whether the settings allow it to serve this model."""
        return any(_matches(model, pattern) for pattern in self.config.models)

    async def ask(self, request: RelayRequest, model: str) -> RelayedStream:
        """Send the request for `model`; it counts as running until the stream is closed. Raises as
        `core.relay.Relay.open` does."""
        self.num_running += 1
        try:
            stream = await self._ask(request, model)
        except BaseException as exc:
            self._on_end(exc)
            raise
        return stream

    async def list_models(self) -> int:
        """Update `models`, after reading the key again; returns how many models it offers. Raises
        `UpstreamFailed`, or `ConfigurationError` for its key."""
        key = await asyncio.to_thread(self.config.read_key)
        self._key = key
        try:
            async with asyncio.timeout(min(_LISTING_S, self.config.timeout_s)):
                response = await self._send(b"GET", "models", b"", "")
                try:
                    if response.status in _REFUSES_KEY:
                        raise self._failed(f"refuses Myna's key (status {response.status})")
                    if response.status != 200:
                        raise self._failed(f"does not list its models (status {response.status})")
                    listed = await asyncio.to_thread(
                        read_listing, await read_body(response, _MAX_LISTING_BYTES)
                    )
                finally:
                    response.release()
        except TimeoutError as exc:
            raise self._timed_out() from exc
        except BROKEN as exc:
            raise self._failed("can't be reached") from exc
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as exc:
            raise self._failed("does not list its models in OpenAI's format") from exc
        explicit = {name: listed.get(name, 0) for name in self.config.models if "*" not in name}
        self.models = explicit | {name: made for name, made in listed.items() if self.may_serve(name)}
        return len(listed)

    async def aclose(self) -> None:
        """Close its connections. Idempotent."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    async def _ask(self, request: RelayRequest, model: str) -> RelayedStream:
        timeout_s = self._timeout_s
        counts, hides_usage = self._counted(request)
        try:
            async with asyncio.timeout(timeout_s):
                body = _encode({**request.body, **counts, "model": model})
                response = await self._send(b"POST", request.path, body, request.request_id, request.headers)
                try:
                    if response.status != 200:
                        refused = await self._refusal(response)
                        if counts and b"stream_options" in refused.body and refused.status in (400, 422):
                            self._takes_stream_options = False
                            response.release()
                            return await self._ask(request, model)
                        raise refused
                    self._check_head(response, is_stream=request.is_stream)
                except BaseException:
                    response.release()
                    raise
        except TimeoutError as exc:
            raise self._timed_out() from exc
        except BROKEN as exc:
            raise self._failed("can't be reached, or broke off before its answer") from exc
        asked = request.body.get("model")
        echo = asked if isinstance(asked, str) and asked != model else ""
        reader = MessagesReader if request.path == _MESSAGES else AnswerReader
        return RelayedStream(
            response,
            reader(self.name, model=echo, hides_usage=hides_usage),
            is_stream=request.is_stream,
            timeout_s=timeout_s,
            on_close=self._on_end,
        )

    def _counted(self, request: RelayRequest) -> tuple[Mapping[str, object], bool]:
        """The options that request a stream's usage, and whether to hide it, since the client did not ask for
        it."""
        options = request.body.get("stream_options")
        if not (request.is_stream and request.path.endswith("completions") and self._takes_stream_options):
            return {}, False
        if options is None:
            options = {}
        if not isinstance(options, dict) or options.get("include_usage", False) is not False:
            return {}, False
        return {"stream_options": {**options, "include_usage": True}}, True

    async def _send(
        self,
        method: bytes,
        path: str,
        body: bytes,
        request_id: str,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> Response:
        if self._pool is None or self._key is None:
            await self._open()
        assert self._pool is not None
        headers = [
            (b"User-Agent", b"myna/" + __version__.encode("ascii")),
            (b"Accept-Encoding", b"identity"),
        ]
        if self._key:
            headers.append((b"Authorization", b"Bearer " + self._key.encode("ascii")))
        if path == _MESSAGES:
            more = {"anthropic-version": _MESSAGES_VERSION, "x-api-key": self._key or "", **more}
        headers += [(name.encode("ascii"), value.encode("ascii")) for name, value in more.items() if value]
        if body:
            headers += [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
        if request_id:
            # OpenAI accepts any text in the first; some servers only accept a UUID in the second.
            headers.append((b"X-Client-Request-Id", request_id.encode("ascii")))
            headers.append((b"X-Request-Id", request_id.removeprefix("req_").encode("ascii")))
        return await self._pool.ask(method, path, headers, body)

    async def _open(self) -> None:
        """Read the key and the trusted certificates."""
        async with self._opening:
            if self._key is None:
                try:
                    self._key = await asyncio.to_thread(self.config.read_key)
                except ConfigurationError as exc:
                    _log.error("The upstream %r can't be asked. %s", self.name, exc.message)
                    raise self._failed("can't be asked, because this server has no key for it") from exc
            if self._pool is None:
                is_tls = self.config.url.startswith("https:")
                context = await asyncio.to_thread(_tls_context) if is_tls else None
                self._pool = ConnectionPool(
                    self.config.url,
                    context,
                    max_idle=self.config.max_requests,
                    keep_alive_s=_KEEP_ALIVE_S,
                    connect_s=min(_CONNECT_S, self.config.timeout_s),
                )

    async def _refusal(self, response: Response) -> UpstreamRefused:
        """The upstream's rejection of the request. Raises another error if it is not the client's mistake."""
        status = response.status
        if status in _REFUSES_KEY:
            raise self._failed(f"refuses Myna's key (status {status})")
        wait_s = retry_after_s(response)
        if status in _OVERLOADED:
            raise Overloaded(f"The upstream {self.name!r} is overloaded.", retry_after_s=wait_s or 1.0)
        if not 400 <= status < 500 or status in _NOT_THE_CLIENTS:
            raise self._failed(f"answered with status {status}")
        body = await read_body(response, _MAX_REFUSAL_BYTES)
        try:
            is_object = isinstance(orjson.loads(body), dict)
        except orjson.JSONDecodeError:
            is_object = False
        if not is_object:
            raise self._failed(f"answered with status {status} and no JSON, as if its url were wrong")
        return UpstreamRefused(
            f"The upstream {self.name!r} refuses the request (status {status}).",
            status=status,
            body=body,
            retry_after_s=wait_s,
        )

    def _check_head(self, response: Response, *, is_stream: bool) -> None:
        if header(response, b"content-encoding") not in (b"", b"identity"):
            raise self._failed("compresses its answers, although it was asked not to")
        kind = header(response, b"content-type").split(b";")[0].strip().lower()
        if kind != (b"text/event-stream" if is_stream else b"application/json"):
            raise self._failed(f"answered with {kind.decode('ascii', 'replace')[:100] or 'no content type'}")

    def _on_end(self, failure: BaseException | None) -> None:
        """A request has ended. If the upstream failed, it is skipped for a growing time."""
        self.num_running -= 1
        if isinstance(failure, Overloaded) or (
            isinstance(failure, UpstreamRefused) and failure.status == _TOO_MANY
        ):
            self.cooldown.begin(failure.retry_after_s)
        elif isinstance(failure, UpstreamFailed):
            self.cooldown.begin()
        elif failure is None or isinstance(failure, UpstreamRefused):
            self.cooldown.end()
        self._on_free()

    def _failed(self, how: str) -> UpstreamFailed:
        return UpstreamFailed(f"The upstream {self.name!r} {how}.")

    def _timed_out(self) -> UpstreamTimeout:
        return UpstreamTimeout(
            f"The upstream {self.name!r} did not answer within {self.config.timeout_s:g} s."
        )


def _matches(model: str, pattern: str) -> bool:
    return fnmatchcase(model, pattern.replace("[", "[[]").replace("?", "[?]"))


def _encode(body: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # a lone surrogate
        return msgspec.json.encode(body)


def _tls_context() -> ssl.SSLContext:
    """With a first connection's object, for which OpenSSL prepares the context: slow, too."""
    context = httpcore2.default_ssl_context()
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    return context

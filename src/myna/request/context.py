"""The context of one authenticated request: what it may use, and what is released when it ends."""

import asyncio
import contextlib
import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final, ParamSpec, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from myna.accounts.administration import Actor
from myna.accounts.limiting import TokenEstimate
from myna.accounts.principal import LOCAL_USER, Principal
from myna.catalog.pool import ServedModel
from myna.catalog.registry import ModelCard
from myna.core.errors import ModelNotFound, ModelTooLarge, Overloaded, RequestError, WrongEndpoint
from myna.core.generator import EventStream
from myna.core.requests import GenerationRequest
from myna.http.event_format import OPENAI_EVENTS, EventFormat
from myna.http.record import RequestRecord, record_of, request_header
from myna.http.streaming import ResponseSender, response_sender
from myna.request import auth, merged_stream
from myna.request.limiter import Reservation
from myna.request.services import Services
from myna.usage.metering import Meter, metered
from myna.usage.recorder import UsageRecorder
from myna.wire.errors import Layout, WrongMethod
from myna.wire.ignored import IgnoredFields
from myna.wire.parameters import Parameter
from myna.wire.validation import WireModel, validate

_MAX_MODEL_NAME: Final = 256
_TEXT_BYTES: Final = 8
_LOGPROB_BYTES: Final = 100

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=WireModel)


class Validator(Protocol):
    """Validates a body, as `wire.validation.validate` does."""

    def __call__(
        self,
        schema: type[M],
        body: Mapping[str, object],
        parameters: Mapping[str, Parameter],
        ignored: IgnoredFields | None = None,
    ) -> M: ...


class ASGIResponse(Protocol):
    """An ASGI response."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class RequestContext:
    """An endpoint's view of its request. Everything opened through it is closed when the response has
    ended."""

    def __init__(
        self, endpoint: "Endpoint", request: Request, send: Send, principal: Principal, services: Services
    ) -> None:
        self.request = request
        self._send = send
        self.principal = principal
        self.services = services
        self.record: RequestRecord = record_of(request.scope)
        self.record.key_id = principal.key_id
        self.recorder = UsageRecorder(endpoint.recorded_as, self.record, principal, services.usage_sinks)
        self.opened = AsyncExitStack()
        """What is released when the request ends."""
        self._is_recorded = bool(endpoint.recorded_as)
        self.meter: Meter | None = None
        self._card: ModelCard | None = None
        self._is_counted = False
        self._bytes_per_token = _TEXT_BYTES
        self.answer_bytes = 0  # besides the generated tokens
        self._path = endpoint.path
        self.body_bytes = 0

    @property
    def id(self) -> str:
        """`req_...`, as in the response's header and in the log."""
        return self.record.id

    @property
    def actor(self) -> Actor:
        """The actor to record in the audit log."""
        client = self.request.client
        return Actor("api_key", self.principal.key_id, client.host[:64] if client else "")

    async def json_object(self, no_object_text: str = auth.NO_MODEL_TEXT) -> dict[str, object]:
        """The body as it was sent. Raises `UnsupportedContentType`, `UnparsableBody`, `BodyTooLarge`, and
        `InvalidRequest` with `no_object_text` if it is JSON but not an object."""
        auth.check_content_type(self.request)
        # Not `Request.body`, which keeps the bytes as long as the request.
        data = b"".join([part async for part in self.request.stream()])
        self.body_bytes = len(data)
        body = await self.services.large_bodies.run_if_large(
            self.body_bytes, self.principal.key_id, lambda: auth.parse_json_object(data, no_object_text)
        )
        self.recorder.describe(body)
        return body

    async def validated(
        self,
        schema: type[M],
        body: Mapping[str, object],
        parameters: Mapping[str, Parameter],
        *,
        may_ignore: bool = False,
        validator: Validator = validate,
    ) -> M:
        """The validated body. Raises `InvalidRequest` for the first error. `may_ignore`: what isn't supported
        is dropped if the key or the server is set to that."""
        own = self.principal.ignores_unknown
        is_lenient = may_ignore and (self.services.ignores_unknown if own is None else own)
        ignored = IgnoredFields() if is_lenient else None

        def check() -> tuple[M, list[str]]:
            request = validator(schema, body, parameters, ignored)
            return request, ignored.paths(body) if ignored else []

        request, paths = await self.services.large_bodies.run_if_large(
            self.body_bytes, self.principal.key_id, check
        )
        if paths:
            self.record.ignore(paths)
        return request

    def requested_card(self, body: Mapping[str, object]) -> ModelCard:
        """The card of the model that the body names; checked before the rest of the body, as OpenAI does."""
        name = auth.requested_model(body)
        try:
            return self.find_card(name)
        except ModelNotFound as exc:
            self.record.hint(exc.message)
            raise ModelNotFound(
                f"The model `{self.record.model}` does not exist or you do not have access to it.",
                code="model_not_found",
            ) from exc

    def find_card(self, name: str) -> ModelCard:
        """The card of the model of that name, which is logged from now on. Raises `ModelNotFound`."""
        self.record.model = name[:_MAX_MODEL_NAME]
        if len(name) > _MAX_MODEL_NAME:  # too long to look up or to send back whole
            raise ModelNotFound(f"A model's name has at most {_MAX_MODEL_NAME} characters.")
        card = self.services.pool.find(name)
        if self.principal.models is not None and not (card and self.principal.may_use(card.id, card.target)):
            # The error must not reveal whether the model exists.
            allowed = ", ".join(sorted(self.principal.models))
            raise ModelNotFound(f"This key may use: {allowed}.", param="model", code="model_not_found")
        card = card or self.services.pool.card(name)
        self.recorder.model = card.target
        self._card = card
        return card

    async def open_model(self, card: ModelCard, *, embeds: bool = False) -> ServedModel:
        """The model, loaded if necessary and held until the request ends. Raises `ModelLoadFailed`;
        `WrongEndpoint` for an embedding model, unless the endpoint `embeds`."""
        if card.embeds and not embeds:
            raise _not_generating(self._path)
        try:
            model = await self.opened.enter_async_context(self.services.pool.hold(card))
        except ModelTooLarge as exc:
            self.record.hint(exc.message)
            raise
        if model.loaded.embedder is not None and not embeds:
            raise _not_generating(self._path)
        return model

    def response_sender(
        self,
        *,
        is_stream: bool,
        headers: Mapping[str, str] = MappingProxyType({}),
        events: EventFormat = OPENAI_EVENTS,
    ) -> AbstractAsyncContextManager[ResponseSender]:
        """A block that opens what the response needs and sends it; see `streaming.response_sender`."""
        services = self.services
        return response_sender(
            self.request.scope,
            self.request.receive,
            self._send,
            threads=services.text_threads,
            headers=headers,
            keep_alive_s=services.keep_alive_s if is_stream else None,
            hold=partial(_hold_answer, self),
            events=events,
        )

    async def in_text_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a template or tokenizer off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.services.text_threads, lambda: work(*args, **kwargs))

    async def generate(
        self, model: ServedModel, requests: Sequence[GenerationRequest], *, is_unbounded: bool = False
    ) -> EventStream:
        """Admit the requests, one per prompt. Returns their metered events, closed when the request ends.
        `is_unbounded`: the client set no limit on completion tokens."""
        estimate = TokenEstimate(
            sum(len(request.prompt_tokens) for request in requests),
            sum(request.max_tokens * max(request.num_choices, request.best_of) for request in requests),
            is_unbounded,
        )
        generator = model.generator
        if adapter := model.card.adapter:
            requests = [msgspec.structs.replace(one, adapter=adapter) for one in requests]
        num_logprobs = max(-1 if one.num_logprobs is None else one.num_logprobs for one in requests)
        self._bytes_per_token = _TEXT_BYTES + (1 + num_logprobs) * _LOGPROB_BYTES
        return await self.metered(model, estimate, lambda: merged_stream.start(generator, requests))

    async def metered(
        self, model: ServedModel, estimate: TokenEstimate, start: Callable[[], Awaitable[EventStream]]
    ) -> EventStream:
        """Reserve the estimate and start. Returns the metered events, closed when the request ends; then the
        reservation is settled with the tokens actually used."""
        self._is_counted = True
        reservation = await self.services.limiter.admit(self.principal, model.card, estimate, self.record)
        if reservation is not None:
            self.opened.push_async_callback(_settle, self, reservation)
        meter = self.meter = self.recorder.open(estimate.prompt_tokens)
        stream = metered(await start(), meter)
        self.opened.push_async_callback(stream.aclose)
        return stream

    async def add_limit_headers(self) -> None:
        """Add the key's rate-limit headers to an error response, too."""
        if self._card is not None and not self._is_counted and not self.record.status:
            with contextlib.suppress(Overloaded):
                await self.services.limiter.add_headers(self.principal, self._card, self.record)

    def detached(self) -> "RequestContext":
        """The context of work that outlives this request, and is recorded in its place. Nothing may have been
        opened yet. To be ended with `end`."""
        other = copy.copy(self)
        other.record = replace(self.record, status=200)
        other.recorder = self.recorder.detached(other.record)
        other.opened = AsyncExitStack()
        self._is_recorded = False
        return other

    async def end(self, error: BaseException | None) -> None:
        """Abort what is still running, release everything, and record the request. `error` is what ended
        it."""
        try:
            await asyncio.shield(self.opened.aclose())
        finally:
            if self._is_recorded:
                self.recorder.close(error, request_header(self.request.scope, b"traceparent"))


def _hold_answer(
    context: RequestContext, drop: Callable[[], None]
) -> AbstractContextManager[Callable[[], None]]:
    """Count the answer, about as large as its tokens, until its client has read it."""
    num_tokens = context.meter.completion_tokens if context.meter else 0
    size = context.answer_bytes + num_tokens * context._bytes_per_token
    return context.services.unread_answers.hold(context.principal.key_id, size, drop)


def _not_generating(path: str) -> WrongEndpoint:
    return WrongEndpoint(
        f"This is not a chat model and thus not supported in the {path[1:]} endpoint. Did you mean to use "
        "v1/embeddings?",
        param="model",
    )


async def _settle(context: RequestContext, reservation: Reservation) -> None:
    """Settle a reservation once the stream is closed and its usage is known."""
    meter = context.meter
    num_tokens = meter.prompt_tokens + meter.completion_tokens if meter else 0
    await context.services.limiter.settle(reservation, num_tokens)


class Handler(Protocol):
    """An endpoint's function. Its result is sent; None means that it has sent the response itself."""

    async def __call__(self, context: RequestContext) -> ASGIResponse | None: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and path under /v1 with its handler. Keys are checked before the handler runs.

    `names_organization`: whether the response names the organization in a header; OpenAI's Models API
    doesn't. `recorded_as`: the endpoint's name in the ledger; empty if it uses no model.
    `needs_no_key_locally`: programs on the same machine need no key if the server listens on loopback only.
    `error_layout`: of all its errors, also of those that the gateway reports elsewhere; None: each error's
    own. `no_key_text`: the error for a request without a key.
    """

    method: str
    path: str
    handler: Handler
    names_organization: bool = True
    recorded_as: str = ""
    needs_no_key_locally: bool = False
    error_layout: Layout | None = None
    no_key_text: str = auth.NO_KEY_TEXT


class EndpointApp:
    """The ASGI application of one path: finds the method, checks the key, runs the handler, sends its
    response."""

    def __init__(self, endpoints: Mapping[str, Endpoint], services: Services) -> None:
        self._endpoints = endpoints
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        endpoint = self._endpoints.get(method)
        if endpoint is None:
            raise WrongMethod(
                f"Not allowed to {scope['method']} on {scope['path']}. "
                "(HINT: Perhaps you meant to use a different HTTP method?)",
                allowed=tuple(self._endpoints),
            )
        request = Request(scope, receive)
        record_of(scope).error_layout = endpoint.error_layout
        is_open = (
            endpoint.needs_no_key_locally
            and self._services.is_loopback_only
            and auth.is_local_request(request)
        )
        principal = (
            LOCAL_USER if is_open else await auth.authenticate(request, self._services, endpoint.no_key_text)
        )
        context = RequestContext(endpoint, request, send, principal, self._services)
        if endpoint.names_organization:
            context.record.organization = self._services.organization
        error: BaseException | None = None
        is_foreground = bool(endpoint.recorded_as) and not principal.is_background
        try:
            with self._services.foreground.request() if is_foreground else contextlib.nullcontext():
                response = await endpoint.handler(context)
                if response is not None:
                    await response(scope, receive, send)
        except BaseException as exc:
            error = exc
            if endpoint.recorded_as and isinstance(exc, RequestError):
                await context.add_limit_headers()
            raise
        finally:
            await context.end(error)


def routes(endpoints: Sequence[Endpoint], services: Services) -> list[Route]:
    """One route per path, in the order given."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [Route(path, EndpointApp(methods, services)) for path, methods in by_path.items()]

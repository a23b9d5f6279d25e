"""One authenticated call of an endpoint: what it may ask for, and what is given back at its end."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, ParamSpec, Protocol, TypeVar

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from myna.accounts.administration import Actor
from myna.accounts.limiting import Cost
from myna.accounts.principal import LOCAL_USER, Principal
from myna.catalog.pool import ServedModel
from myna.catalog.registry import ModelCard
from myna.core.errors import ModelNotFound, ModelTooLarge, Overloaded, RequestError
from myna.core.generator import EventStream
from myna.core.requests import GenerationRequest
from myna.http.record import RequestRecord, record_of
from myna.http.streaming import Answering, answering
from myna.request import auth, merged_stream
from myna.request.limiter import Hold
from myna.request.services import Services
from myna.usage.metering import Meter, Metered
from myna.usage.recorder import UsageRecorder
from myna.wire.errors import WrongMethod
from myna.wire.parameters import Parameter
from myna.wire.validation import WireModel, validate

_MAX_MODEL_NAME: Final = 256

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=WireModel)


class Answer(Protocol):
    """An ASGI response."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class RequestContext:
    """What an endpoint sees of its request. All that it opens is closed when its answer has ended."""

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
        self._opened = AsyncExitStack()
        self.meter: Meter | None = None
        self._card: ModelCard | None = None
        self._is_counted = False
        self._body_bytes = 0

    @property
    def id(self) -> str:
        """`req_...`, as the answer's header and the log have it."""
        return self.record.id

    @property
    def actor(self) -> Actor:
        """Who acts, for the audit log."""
        client = self.request.client
        return Actor("api_key", self.principal.key_id, client.host[:64] if client else "")

    async def json_object(self, no_object_text: str = auth.NO_MODEL_TEXT) -> dict[str, object]:
        """The body as it was sent. Raises `UnsupportedContentType`, `UnparsableBody`, `BodyTooLarge`, and
        `InvalidRequest` with that text if it is JSON and no object."""
        auth.check_content_type(self.request)
        data = await self.request.body()
        self._body_bytes = len(data)
        body = await self.services.large_bodies.run_if_large(
            self._body_bytes, self.principal.key_id, lambda: auth.parse_json_object(data, no_object_text)
        )
        self.recorder.body = body
        return body

    async def validated(
        self, schema: type[M], body: Mapping[str, object], parameters: Mapping[str, Parameter]
    ) -> M:
        """The body, typed. Raises `InvalidRequest` for its first fault."""
        return await self.services.large_bodies.run_if_large(
            self._body_bytes, self.principal.key_id, lambda: validate(schema, body, parameters)
        )

    def card(self, body: Mapping[str, object]) -> ModelCard:
        """The model that the body names; checked before the rest of the body, as OpenAI does."""
        name = auth.requested_model(body)
        try:
            return self.find(name)
        except ModelNotFound as exc:
            self.record.hint(exc.message)
            raise ModelNotFound(
                f"The model `{self.record.model}` does not exist or you do not have access to it.",
                code="model_not_found",
            ) from exc

    def find(self, name: str) -> ModelCard:
        """The model of that name, which stands in the log from now on. Raises `ModelNotFound`."""
        self.record.model = name[:_MAX_MODEL_NAME]
        if len(name) > _MAX_MODEL_NAME:  # nothing is compared with it and little of it is sent back
            raise ModelNotFound(f"A model's name has at most {_MAX_MODEL_NAME} characters.")
        card = self.services.pool.find(name)
        if self.principal.models is not None and not (card and self.principal.may_use(card.id, card.target)):
            # Nothing tells whether the model exists.
            allowed = ", ".join(sorted(self.principal.models))
            raise ModelNotFound(f"This key may use: {allowed}.", param="model", code="model_not_found")
        card = card or self.services.pool.card(name)
        self.recorder.model = card.target
        self._card = card
        return card

    async def open(self, card: ModelCard) -> ServedModel:
        """The model, after its load if that must come first; held until the call ends. Raises
        `ModelLoadFailed`."""
        try:
            return await self._opened.enter_async_context(self.services.pool.hold(card))
        except ModelTooLarge as exc:
            self.record.hint(exc.message)
            raise

    def answering(
        self, *, is_stream: bool, headers: Mapping[str, str] = MappingProxyType({})
    ) -> AbstractAsyncContextManager[Answering]:
        """The block that opens what the answer needs and sends it; see `streaming.answering`."""
        services = self.services
        return answering(
            self.request.scope,
            self.request.receive,
            self._send,
            threads=services.text_threads,
            headers=headers,
            keep_alive_s=services.keep_alive_s if is_stream else None,
        )

    async def in_text_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run templates and tokenizers where they don't hold up the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.services.text_threads, lambda: work(*args, **kwargs))

    async def generate(
        self, model: ServedModel, requests: Sequence[GenerationRequest], *, is_open: bool = False
    ) -> EventStream:
        """Admit the requests (one a prompt): their events, metered, closed at the end of the call. `is_open`:
        the client named no longest answer."""
        cost = Cost(
            sum(len(request.prompt_tokens) for request in requests),
            sum(request.max_tokens * max(request.num_choices, request.best_of) for request in requests),
            is_open,
        )
        generator = model.generator
        return await self.metered(model, cost, lambda: merged_stream.start(generator, requests))

    async def metered(
        self, model: ServedModel, cost: Cost, start: Callable[[], Awaitable[EventStream]]
    ) -> EventStream:
        """Admit what may come to that cost, and start it: its events, metered, closed at the end of the call,
        when what it has really used is settled."""
        self._is_counted = True
        hold = await self.services.limiter.admit(self.principal, model.card, cost, self.record)
        if hold is not None:
            self._opened.push_async_callback(_settle, self, hold)
        meter = self.meter = self.recorder.open()
        stream = Metered(await start(), meter)
        self._opened.push_async_callback(stream.aclose)
        return stream

    async def tell_limits(self) -> None:
        """The answer to a mistake says too what is left of the key's limits."""
        if self._card is not None and not self._is_counted and not self.record.status:
            with contextlib.suppress(Overloaded):
                await self.services.limiter.tell(self.principal, self._card, self.record)

    async def aclose(self) -> None:
        """Abort what still runs."""
        await self._opened.aclose()


async def _settle(call: RequestContext, hold: Hold) -> None:
    """What the call has used is known: its stream is closed."""
    meter = call.meter
    num_tokens = meter.prompt_tokens + meter.completion_tokens if meter else 0
    await call.services.limiter.settle(hold, num_tokens)


class Handler(Protocol):
    """An endpoint's code. What it returns is sent; None: it has sent its answer itself."""

    async def __call__(self, call: RequestContext) -> Answer | None: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and path under /v1, and who answers there. Keys are checked before the handler runs.

    `names_organization`: whether the answer says in a header who pays; OpenAI's Models API doesn't.
    `recorded_as`: the name under which the ledger has each call; empty where no model is asked.
    `is_open_here`: programs on the server's own machine need no key, if it listens there alone.
    """

    method: str
    path: str
    handler: Handler
    names_organization: bool = True
    recorded_as: str = ""
    is_open_here: bool = False


class EndpointApp:
    """The ASGI side of one path: finds the method, checks the key, runs the handler, sends its answer."""

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
        is_open = endpoint.is_open_here and self._services.listens_here and auth.is_from_here(request)
        principal = LOCAL_USER if is_open else await auth.authenticate(request, self._services)
        call = RequestContext(endpoint, request, send, principal, self._services)
        if endpoint.names_organization:
            call.record.organization = self._services.organization
        fault: BaseException | None = None
        try:
            answer = await endpoint.handler(call)
            if answer is not None:
                await answer(scope, receive, send)
        except BaseException as exc:
            fault = exc
            if endpoint.recorded_as and isinstance(exc, RequestError):
                await call.tell_limits()
            raise
        finally:
            try:
                await asyncio.shield(call.aclose())
            finally:
                if endpoint.recorded_as:
                    call.recorder.settle(fault, request.headers.get("traceparent", ""))


def routes(endpoints: Sequence[Endpoint], services: Services) -> list[Route]:
    """One route a path, in the order given."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [Route(path, EndpointApp(methods, services)) for path, methods in by_path.items()]

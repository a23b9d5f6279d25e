"""One authenticated call of an endpoint: what it may ask for, and what is given back at its end."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, ParamSpec, Protocol, TypeVar

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from myna.accounts.administration import Actor
from myna.accounts.limiting import Cost
from myna.accounts.principal import LOCAL_USER, Principal
from myna.catalog.listing import ModelCard
from myna.catalog.pool import ServedModel
from myna.core.errors import DatabaseUnavailable, ModelNotFound, ModelTooLarge, Overloaded, RequestError
from myna.core.generator import EventStream
from myna.core.requests import GenerationRequest
from myna.serving import deps, generation
from myna.serving.bill import Bill
from myna.serving.errors import WrongMethod
from myna.serving.json_bodies import INLINE_BYTES
from myna.serving.limiter import Hold
from myna.serving.metering import Meter, Metered
from myna.serving.parameters import Parameter
from myna.serving.record import RequestRecord, record_of
from myna.serving.services import Services
from myna.serving.validation import WireModel, validate

_MAX_MODEL_NAME: Final = 256
_LONGEST_DATABASE_QUEUE_S: Final = 10.0

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=WireModel)


class Answer(Protocol):
    """An ASGI response: Starlette's, or one of `streaming`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Call:
    """What an endpoint sees of its request. All that it opens is closed when its answer has ended."""

    def __init__(self, endpoint: "Endpoint", request: Request, principal: Principal, services: Services):
        self.request = request
        self.principal = principal
        self.services = services
        self.record: RequestRecord = record_of(request.scope)
        self.record.key_id = principal.key_id
        self.bill = Bill(endpoint.bills, self.record, principal, services.accountant)
        self._opened = AsyncExitStack()
        self._meter: Meter | None = None
        self._card: ModelCard | None = None
        self._is_counted = False
        self._has_large_body = False

    @property
    def id(self) -> str:
        """`req_...`, as the answer's header and the log have it."""
        return self.record.id

    @property
    def actor(self) -> Actor:
        """Who acts, for the audit log."""
        client = self.request.client
        return Actor("api_key", self.principal.key_id, client.host[:64] if client else "")

    async def json_object(self, no_object_text: str = deps.NO_MODEL_TEXT) -> dict[str, object]:
        """The body as it was sent. Raises `UnsupportedContentType`, `UnparsableBody`, `BodyTooLarge`, and
        `InvalidRequest` with that text if it is JSON and no object."""
        deps.check_content_type(self.request)
        data = await self.request.body()
        self._has_large_body = len(data) > INLINE_BYTES
        body = await self._on_body(lambda: deps.parse_json_object(data, no_object_text))
        self.bill.body = body
        return body

    async def validated(
        self, schema: type[M], body: Mapping[str, object], parameters: Mapping[str, Parameter]
    ) -> M:
        """The body, typed. Raises `InvalidRequest` for its first fault."""
        return await self._on_body(lambda: validate(schema, body, parameters))

    async def _on_body(self, work: Callable[[], T]) -> T:
        """A large body is worked on off the event loop; a small one costs less than the way there."""
        if not self._has_large_body:
            return work()
        return await self.services.large_bodies.run(self.principal.key_id, work)

    def card(self, body: Mapping[str, object]) -> ModelCard:
        """The model that the body names; checked before the rest of the body, as OpenAI does."""
        name = deps.requested_model(body)
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
        if self.principal.models is not None and not (card and self.may_use(card)):
            # Nothing tells whether the model exists.
            allowed = ", ".join(sorted(self.principal.models))
            raise ModelNotFound(f"This key may use: {allowed}.", param="model", code="model_not_found")
        card = card or self.services.pool.card(name)
        self.bill.model = card.target
        self._card = card
        return card

    def may_use(self, card: ModelCard) -> bool:
        """Whether the key may ask for the model, under its own name or the one that it stands for."""
        return self.principal.may_use(card.id, card.target)

    async def open(self, card: ModelCard) -> ServedModel:
        """The model, after its load if that must come first; held until the call ends. Raises
        `ModelLoadFailed`."""
        try:
            return await self._opened.enter_async_context(self.services.pool.hold(card.id))
        except ModelTooLarge as exc:
            self.record.hint(exc.message)
            raise

    async def in_text_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run templates and tokenizers where they don't hold up the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.services.text_threads, lambda: work(*args, **kwargs))

    async def in_database_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a store in one of the database's threads. Raises `DatabaseUnavailable` if none is free for too
        long."""
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + _LONGEST_DATABASE_QUEUE_S

        def in_time() -> T:
            if time.monotonic() > deadline:
                raise DatabaseUnavailable("The calls of the database before this one took too long.")
            return work(*args, **kwargs)

        return await loop.run_in_executor(self.services.database_threads, in_time)

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
        self._is_counted = True
        hold = await self.services.limiter.admit(self.principal, model.card, cost, self.record)
        if hold is not None:
            self._opened.push_async_callback(self._settle, hold)
        meter = self._meter = self.bill.open()
        stream = Metered(await generation.start(model.generator, requests), meter)
        self._opened.push_async_callback(stream.aclose)
        return stream

    async def _settle(self, hold: Hold) -> None:
        """What the request has used is known: its stream is closed."""
        meter = self._meter
        await self.services.limiter.settle(
            hold, meter.prompt_tokens + meter.completion_tokens if meter else 0
        )

    async def tell_limits(self) -> None:
        """The answer to a mistake says too what is left of the key's limits."""
        if self._card is not None and not self._is_counted and not self.record.status:
            with contextlib.suppress(Overloaded):
                await self.services.limiter.tell(self.principal, self._card, self.record)

    async def aclose(self) -> None:
        """Abort what still runs."""
        await self._opened.aclose()


class Handler(Protocol):
    """An endpoint's code."""

    async def __call__(self, call: Call) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and path under /v1, and who answers there. Keys are checked before the handler runs.

    `names_organization`: whether the answer says in a header who pays; OpenAI's Models API doesn't.
    `bills`: the name under which the ledger has each call; empty where no model is asked.
    `is_open_here`: programs on the server's own machine need no key, if it listens there alone.
    """

    method: str
    path: str
    handler: Handler
    names_organization: bool = True
    bills: str = ""
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
        is_open = endpoint.is_open_here and self._services.listens_here and deps.is_from_here(request)
        principal = LOCAL_USER if is_open else await deps.authenticate(request, self._services)
        call = Call(endpoint, request, principal, self._services)
        if endpoint.names_organization:
            call.record.organization = self._services.organization
        fault: BaseException | None = None
        try:
            answer = await endpoint.handler(call)
            await answer(scope, receive, send)
        except BaseException as exc:
            fault = exc
            if endpoint.bills and isinstance(exc, RequestError):
                await call.tell_limits()
            raise
        finally:
            try:
                await asyncio.shield(call.aclose())
            finally:
                if endpoint.bills:
                    call.bill.settle(fault, request.headers.get("traceparent", ""))


def routes(endpoints: Sequence[Endpoint], services: Services) -> list[Route]:
    """One route a path, in the order given."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [Route(path, EndpointApp(methods, services)) for path, methods in by_path.items()]

"""Background responses: answered at once, generated in a task that continues when the client leaves."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from myna.api.responses.answer import failed
from myna.api.responses.context import RequestItems, begin_response, own_items
from myna.api.responses.following import FollowedEvents, follow
from myna.api.responses.generating import generate
from myna.api.responses.schema import ResponsesRequest
from myna.api.responses.shapes import Response
from myna.api.responses.storing import FULL_TEXT, Storing, input_items, stored_response
from myna.api.responses.stream import ResponseRenderer
from myna.catalog.registry import ModelCard
from myna.core.errors import (
    DatabaseError,
    DatabaseUnavailable,
    GenerationFailed,
    InvalidRequest,
    MynaError,
    Overloaded,
    QuotaExceeded,
)
from myna.core.events import Done, Event
from myna.core.stored_responses import StoredResponse
from myna.generation.json_parts import json_parts
from myna.http.access_log import record_failure
from myna.http.rendering import render_off_loop
from myna.request.background import Run
from myna.request.context import RequestContext
from myna.wire.errors import error_body
from myna.wire.ids import ItemIds

_EARLY_S: Final = 2.0
"""An error within this time is the answer to the request; a later one is the response's."""
_MAX_AT_ONCE: Final = 64

log = logging.getLogger("myna.serving")


async def answer_in_background(
    context: RequestContext, card: ModelCard, request: ResponsesRequest, body: Mapping[str, Any]
) -> None:
    """Answer with the queued response, or with the stream of its events."""
    if not request.is_stored:
        raise InvalidRequest("Background responses are stored; 'store' can't be false.", param="store")
    runs, keeps_events = context.services.background_runs, bool(request.stream)
    response, ids = await begin_response(context, card, request, body)
    with runs.room(context.principal.key_id):
        work = context.detached()
        try:
            await work.opened.enter_async_context(runs.alive())
            items = await own_items(work, request, response)
            await _put(work, response, items, ids)
        except BaseException as exc:
            await work.end(exc)
            raise
        run = Run(response.id, context.principal.key_id, keeps_events=keeps_events)
        job = _Job(work, card, request, response, items, ids, run)
        runs.run(run, job.work())
    await asyncio.wait([job.is_started], timeout=_EARLY_S)
    if job.is_started.done() and (error := job.is_started.result()) is not None:
        await _forget(context, run)
        raise error
    async with context.response_sender(is_stream=keeps_events, events=FollowedEvents()) as sender:
        if keeps_events:
            await sender.send_rendered(follow(context, response.id, -1))
        else:
            await sender.send_body(json_parts(replace(response, status="queued"), is_indented=True))


async def _put(context: RequestContext, response: Response, items: RequestItems, ids: ItemIds) -> None:
    """Store the response as queued: other requests can refer to it from now on."""
    services = context.services

    def queued() -> StoredResponse:
        return stored_response(
            replace(response, status="queued"),
            project=context.principal.project,
            input=input_items(items.own, ids),
            runner=services.background_runs.server,
            history=items.chain,
        )

    row = await context.in_text_thread(queued)
    if not await services.store_writer.reserve(row.project, row.num_bytes):
        raise QuotaExceeded(FULL_TEXT, code="insufficient_quota")
    await services.database_threads.run(services.responses.put, row)


async def _forget(context: RequestContext, run: Run) -> None:
    """Delete a response whose id no client has seen; one whose end can't be stored soon remains as failed."""
    if run.task is not None:
        await asyncio.wait([run.task], timeout=_EARLY_S)
    services = context.services
    with contextlib.suppress(DatabaseUnavailable):
        await services.database_threads.run(services.responses.delete, context.principal.project, run.id)


@dataclass(slots=True)
class _Job:
    """Generates one response, and records how it ends. `is_started` gets the error that prevented the start,
    or None."""

    context: RequestContext
    card: ModelCard
    request: ResponsesRequest
    response: Response
    items: RequestItems
    ids: ItemIds
    run: Run
    renderer: ResponseRenderer = field(init=False)
    is_started: "asyncio.Future[Exception | None]" = field(init=False)

    def __post_init__(self) -> None:
        options = self.request.stream_options
        is_obfuscated = bool(options is not None and options.include_obfuscation)
        self.renderer = ResponseRenderer(self.response, is_obfuscated=is_obfuscated)
        self.is_started = asyncio.get_running_loop().create_future()

    async def work(self) -> None:
        """Doesn't raise."""
        error: BaseException | None = None
        try:
            self.run.log.append(await self._rendered(self.renderer.queued))
            await self._generate()
        except asyncio.CancelledError as exc:
            error = exc
            if not self.run.is_stopped:
                await self._fail(Overloaded("The server is shutting down."))
        except Exception as exc:
            error = exc
            record_failure(self.context.record, exc)
            await self._fail(exc)
        finally:
            await self.context.end(error)

    async def _generate(self) -> None:
        context, services = self.context, self.context.services
        try:
            events, accumulator = await generate(
                context, self.card, self.request, self.items.all, self.response, self.ids
            )
        except MynaError as exc:
            self.is_started.set_result(exc)
            raise
        self.is_started.set_result(None)
        self.renderer.accumulator, self.response = accumulator, accumulator.response
        with contextlib.suppress(DatabaseUnavailable):
            begun = partial(stored_response, self.response, project="")
            body = (await context.in_text_thread(begun)).body
            await services.database_threads.run(services.background.progress, self.run.id, body)
        storing, num_ready = Storing(context, accumulator, RequestItems([], []), self.ids), 0
        async for event in events:
            if type(event) is Done:
                accumulator.note_total(event)
                self.run.is_ending = True
                await services.background_runs.flush(self.run)
                row = await context.in_text_thread(storing.row)
                if row is None or row.num_bytes > services.store_writer.max_row_bytes:
                    services.store_writer.drop_large()
                    raise GenerationFailed("The response is too large to be stored.")
                if not await self._finish(row):
                    return
            await self._render(event)
            context.record.before_frame()
            num_ready += 1
            if num_ready % _MAX_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _render(self, event: Event) -> None:
        data = self.renderer.feed(event)
        if isinstance(data, bytes):
            self.run.log.append(_split(data))
        else:
            parts = [part async for part in render_off_loop(data, self.context.services.text_threads)]
            self.run.log.append(await self._rendered(lambda: b"".join(parts)))

    async def _rendered(self, render: Callable[[], bytes]) -> Sequence[bytes]:
        """The events, each of which may repeat a long request."""
        return await self.context.in_text_thread(lambda: _split(render()))

    async def _finish(self, row: StoredResponse) -> bool:
        """Store the end; False if the response has been cancelled or deleted meanwhile."""
        services = self.context.services
        if not await services.store_writer.reserve(row.project, row.num_bytes):
            raise QuotaExceeded(FULL_TEXT)
        return await services.background_runs.ends.store(self.run, replace(row, input=(), history=()))

    async def _fail(self, exc: Exception) -> None:
        self.run.is_ending = True
        body: Any = error_body(exc, self.context.id)
        message = str(body["error"]["message"])
        response, project = failed(self.response, exc, message), self.context.principal.project
        row = await self.context.in_text_thread(partial(stored_response, response, project=project))
        try:
            await self.context.services.background_runs.ends.store(self.run, row)
        except DatabaseError as error:
            log.error("the failure of %s can't be stored: %s", row.id, error)
        failure = partial(self.renderer.failure, exc, self.context.id)
        self.run.log.append(await self._rendered(failure))
        if not self.is_started.done():
            self.is_started.set_result(None)


def _split(data: bytes) -> Sequence[bytes]:
    """The server-sent events, each without the empty line at its end."""
    return data.split(b"\n\n")[:-1]

"""Storing of responses, before their end is sent."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
import orjson
from msgspec.structs import replace

from myna.api.responses.answer import ResponseFold
from myna.api.responses.shapes import Response
from myna.core.events import Done, Event
from myna.core.stored_responses import ResponseItem, ResponseStatus, StoredResponse
from myna.generation.json_parts import json_parts
from myna.request.context import RequestContext
from myna.wire.ids import ItemIds
from myna.wire.response_items import Item, stored_item

FULL_TEXT: Final = (
    "This answer is not stored: what the project has stored has reached the server's limit (max_stored). "
    "Delete some, or send requests without 'store'."
)

log = logging.getLogger("myna.serving")


async def has_room(context: RequestContext) -> bool:
    """Whether the response will be stored; a hint in its headers says why not."""
    if await context.services.store_writer.has_room(context.principal.project):
        return True
    context.record.hint(FULL_TEXT)
    return False


@dataclass(frozen=True, slots=True)
class Storing:
    """How one response is stored. `own` are the request's own items; `is_kept`: the response can be
    retrieved, otherwise only its conversation gets its items."""

    context: RequestContext
    fold: ResponseFold
    own: Sequence[Item]
    ids: ItemIds
    is_kept: bool = True

    def feed(self, event: Event) -> None:
        """The fold needs the last event before the response is stored."""
        if type(event) is Done:
            self.fold.feed(event)

    async def store(self) -> None:
        """Never raises: failing to store must not fail the response."""
        context = self.context
        writer, services = context.services.store_writer, context.services
        try:
            row = await context.in_text_thread(self.row)
            if self.is_kept:
                await writer.put(row.project, row.num_bytes, partial(services.responses.put, row))
            elif row.conversation_id is not None:
                add = partial(
                    services.conversations.add,
                    row.project,
                    row.conversation_id,
                    [*row.input, *row.output],
                    now=int(time.time()),
                )
                await writer.put(row.project, row.num_bytes, add)
                unlock = services.conversations.unlock
                await services.database_threads.run(unlock, row.conversation_id, row.id)
        except Exception:
            log.exception("the response to %s could not be stored", context.id)

    def row(self) -> StoredResponse:
        """The response when it has ended. Slow if it is large."""
        response = self.fold.finished()
        output = [
            ResponseItem(item.id, b"".join(json_parts(item.rendered(), is_indented=False)))
            for item in self.fold.output.items
        ]
        return stored_response(
            response,
            project=self.context.principal.project,
            model=self.context.recorder.model,
            input=input_items(self.own, self.ids),
            output=output,
        )


def input_items(items: Sequence[Item], ids: ItemIds) -> list[ResponseItem]:
    """The items of a request as they are stored."""
    found = []
    for item in items:
        shown = stored_item(item, ids.new)
        found.append(ResponseItem(str(shown["id"]), orjson.dumps(shown)))
    return found


def stored_response(
    response: Response,
    *,
    project: str,
    model: str,
    input: Sequence[ResponseItem] = (),
    output: Sequence[ResponseItem] = (),
    runner: str = "",
) -> StoredResponse:
    """The row of a response, whose output is stored apart from it."""
    conversation = response.conversation
    status = msgspec.convert(response.status, ResponseStatus)
    return StoredResponse(
        id=response.id,
        project=project,
        created=response.created_at,
        model=model,
        status=status,
        body=msgspec.json.encode(replace(response, output=[])),
        input=input,
        output=output,
        previous_id=response.previous_response_id,
        conversation_id=None if isinstance(conversation, msgspec.UnsetType) else conversation["id"],
        runner=runner,
    )

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

from myna.api.responses.answer import ResponseAccumulator
from myna.api.responses.context import RequestItems, unlock_conversation
from myna.api.responses.shapes import Response
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
    """How one response is stored. `is_kept`: the response can be retrieved, otherwise only its conversation
    gets its items."""

    context: RequestContext
    accumulator: ResponseAccumulator
    items: RequestItems
    ids: ItemIds
    is_kept: bool = True

    async def store(self) -> None:
        """Never raises: failing to store must not fail the response."""
        context = self.context
        writer, services = context.services.store_writer, context.services
        try:
            row = await context.in_text_thread(self.row)
            if row is None:
                writer.drop_large()
            elif self.is_kept:
                put = partial(services.responses.put, row)
                num_history_bytes = sum(len(item.json) for item in row.history)
                await writer.put(row.project, row.num_bytes, put, num_other_bytes=num_history_bytes)
            elif row.conversation_id is not None:
                add = partial(
                    services.conversations.add,
                    row.project,
                    row.conversation_id,
                    [*row.input, *row.output],
                    now=int(time.time()),
                )
                await writer.put(row.project, row.num_bytes, add)
                await unlock_conversation(services, row.conversation_id, row.id)
        except Exception:
            log.exception("the response to %s could not be stored", context.id)

    def row(self) -> StoredResponse | None:
        """The response when it has ended; None if it is too large to be stored. Slow for a large one."""
        response, room = self.accumulator.finished(), self.context.services.store_writer.max_row_bytes
        output = list[ResponseItem]()
        for item in self.accumulator.output.items:
            json = _json(item.rendered(), room)
            room -= len(json)
            if room < 0:
                return None
            output.append(ResponseItem(item.id, json))
        return stored_response(
            response,
            project=self.context.principal.project,
            input=input_items(self.items.own, self.ids),
            output=output,
            history=self.items.chain,
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
    input: Sequence[ResponseItem] = (),
    output: Sequence[ResponseItem] = (),
    runner: str = "",
    history: Sequence[ResponseItem] = (),
) -> StoredResponse:
    """The row of a response, whose output is stored apart from it."""
    conversation = response.conversation
    status = msgspec.convert(response.status, ResponseStatus)
    return StoredResponse(
        id=response.id,
        project=project,
        created=response.created_at,
        model=response.model,
        status=status,
        body=b"".join(json_parts(replace(response, output=[]), is_indented=False)),
        input=input,
        output=output,
        previous_id=response.previous_response_id,
        conversation_id=None if isinstance(conversation, msgspec.UnsetType) else conversation["id"],
        runner=runner,
        history=history,
    )


def _json(value: object, max_bytes: int) -> bytes:
    """The value's JSON, and not much more of it than that if it is longer."""
    parts, size = list[bytes](), 0
    for part in json_parts(value, is_indented=False):
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            break
    return b"".join(parts)

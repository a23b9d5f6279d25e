"""Streams of stored responses: the events of one that is generated, as they come, and those of one that has
ended."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import orjson

from myna.api.responses.orphans import find_response
from myna.api.responses.rendering import response_object
from myna.api.responses.replay import is_last, numbered, replayed
from myna.core.stored_responses import ACTIVE
from myna.http.event_format import KEEP_ALIVE
from myna.request.context import RequestContext
from myna.wire.errors import error_body

_POLL_S: Final = 0.5
_PART_BYTES: Final = 1 << 16
"""More is not sent at once."""
_EVENT_END: Final = b"\n\n"


class FollowedEvents:
    """The `EventFormat` of a followed response."""

    end: Final = b""

    def keep_alive(self) -> bytes:
        """A comment, which clients skip."""
        return KEEP_ALIVE

    def error(self, exc: BaseException, request_id: str) -> bytes:
        body = {"type": "error", **error_body(exc, request_id)}
        return b"event: error\ndata: %s\n\n" % orjson.dumps(body)


async def follow(context: RequestContext, response_id: str, after: int) -> AsyncIterator[bytes]:
    """The rendered events with numbers greater than `after`. Of a response that is generated, they come from
    this server's memory; otherwise from the store, where they are written with a delay and kept for a time,
    and finally from the response itself."""
    number, has_ended = after, False
    while True:
        run = context.services.background_runs.get(response_id)
        if run is not None and run.log.first <= number + 1:
            events = await run.log.after(number)
        else:
            events = await _stored_events(context, response_id, number)
        if events:
            for part in _parts(events):
                yield part
            number += len(events)
            if is_last(events[-1]):
                return
            continue
        row = await find_response(context, response_id)
        if row is None or row.status == "cancelled":
            return
        if has_ended:
            break
        has_ended = row.status not in ACTIVE  # its last events may have been stored meanwhile
        if not has_ended:
            await asyncio.sleep(_POLL_S)
    events = await context.in_text_thread(lambda: replayed(response_object(row)))
    last = max(number + 1, len(events) - 1)
    for part in _parts([*events[number + 1 : -1], numbered(events[-1], last)]):
        yield part


async def _stored_events(context: RequestContext, response_id: str, after: int) -> Sequence[bytes]:
    """The next stored events, up to the first that is missing: the database may have been unavailable."""
    services = context.services
    batches = await services.database_threads.run(services.background.events, response_id, after)
    events, number = list[bytes](), after + 1
    for batch in batches:
        if batch.first > number:
            break
        events += batch.events[number - batch.first :]
        number = batch.last + 1
    return events


def _parts(events: Sequence[bytes]) -> Iterator[bytes]:
    """The events as they are sent: short ones together, since each write costs, but not too many; long ones
    in parts."""
    ready, size = list[bytes](), 0
    for event in events:
        if ready and size + len(event) > _PART_BYTES:
            yield from _sliced(b"".join(ready))
            ready, size = [], 0
        ready += (event, _EVENT_END)
        size += len(event)
    yield from _sliced(b"".join(ready))


def _sliced(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _PART_BYTES):
        yield data[start : start + _PART_BYTES]

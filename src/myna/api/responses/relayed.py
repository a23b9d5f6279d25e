"""Streams of relayed responses: the upstream's own events, and what ends them if the upstream fails."""

import re
import time
from typing import Any, Final

import orjson

from myna.api.responses.answer import response_error
from myna.core.events import Event, WireChunk
from myna.http.event_format import KEEP_ALIVE
from myna.wire.errors import error_body
from myna.wire.ids import ItemIds

_NUMBER: Final = re.compile(rb'"sequence_number"\s*:\s*([0-9]{1,12})')
_CREATED: Final = re.compile(rb"^data: ?(\{.*)$", re.MULTILINE)


class RelayedChunks:
    """A `streaming.ChunkRenderer`: the upstream's events as they are. `first` and `last` are the first and
    the latest of them."""

    def __init__(self) -> None:
        self.first = self.last = b""

    def feed(self, event: Event) -> bytes:
        if type(event) is not WireChunk:
            return b""
        self.first = self.first or event.data
        self.last = event.data
        return event.data

    def end(self) -> bytes:
        return b""


class RelayedEvents:
    """The `EventFormat` of such a stream: a failure continues the numbers of its events, and repeats the
    response that the upstream began."""

    end: Final = b""

    def __init__(self, model: str, chunks: RelayedChunks) -> None:
        self._model = model
        self._chunks = chunks

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    def error(self, exc: BaseException, request_id: str) -> bytes:
        body: Any = error_body(exc, request_id)["error"]
        error = {key: body[key] for key in ("type", "code", "message", "param")}
        numbers = _NUMBER.findall(self._chunks.last)
        number = int(numbers[-1]) + 1 if numbers else 0
        response = self._begun() | {
            "status": "failed",
            "error": response_error(exc, body["message"]),
            "output": [],
        }
        events = (
            {"type": "error", "error": error, "sequence_number": number},
            {"type": "response.failed", "response": response, "sequence_number": number + 1},
        )
        return b"".join(
            b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), orjson.dumps(event))
            for event in events
        )

    def _begun(self) -> dict[str, Any]:
        """The response as the upstream began it, or a new one."""
        found = _CREATED.search(self._chunks.first)
        try:
            event = orjson.loads(found[1]) if found else {}
        except orjson.JSONDecodeError:
            event = {}
        response = event.get("response")
        if isinstance(response, dict):
            return response
        id = ItemIds.continuing(None).new("resp_")
        return {"id": id, "object": "response", "created_at": int(time.time()), "model": self._model}

"""Whole responses: what a response becomes when its output is complete, or when it fails."""

import time
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from myna.api.responses.open_items import OpenItem
from myna.api.responses.output import Change, Output
from myna.api.responses.shapes import Response, ResponseError, to_usage
from myna.core.errors import ContextLengthExceeded, InvalidRequest, RateLimited
from myna.core.events import Done, Event
from myna.generation.json_parts import LazyArray, json_parts

_ITEMS_PER_SLICE: Final = 8


class ResponseAccumulator:
    """Folds events into one response. `response` is the response before anything was generated, `tier` the
    one that serves it."""

    def __init__(self, response: Response, output: Output, tier: str) -> None:
        self.response = response
        self.output = output
        self._tier = tier
        self._finished: Response | None = None

    def feed(self, event: Event) -> list[Change]:
        """Process the next event."""
        return self.output.feed(event)

    def note_total(self, event: Event) -> None:
        """Take the totals of the last event, for `finished`, before the event itself is processed."""
        if isinstance(event, Done):
            self.output.usage.feed(event)

    def finished(self) -> Response:
        """The response after its last event, always the same; its items are rendered lazily."""
        if self._finished is None:
            is_incomplete = self.output.is_incomplete
            self._finished = replace(
                self.response,
                status="incomplete" if is_incomplete else "completed",
                completed_at=None if is_incomplete else int(time.time()),
                incomplete_details={"reason": "max_output_tokens"} if is_incomplete else None,
                output=LazyArray(self.output.items, OpenItem.rendered, _ITEMS_PER_SLICE),
                service_tier=self._tier,
                usage=to_usage(self.output.usage.total()),
            )
        return self._finished

    def parts(self) -> Iterator[bytes]:
        """The body's JSON, indented as OpenAI's."""
        return json_parts(self.finished(), is_indented=True)


def failed(response: Response, exc: BaseException, message: str) -> Response:
    """The response after an error, which clients see as `message`."""
    error = ResponseError(**response_error(exc, message))
    return replace(response, status="failed", error=error, output=[])


def response_error(exc: BaseException, message: str) -> dict[str, str]:
    """The error of a failed response, with one of this API's codes."""
    match exc:
        case RateLimited():
            code = "rate_limit_exceeded"
        case ContextLengthExceeded():
            code = "context_length_exceeded"
        case InvalidRequest():
            code = "invalid_prompt"
        case _:
            code = "server_error"
    return {"code": code, "message": message}

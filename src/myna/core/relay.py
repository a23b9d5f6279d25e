"""The interface of relays, which pass requests on to servers that render and schedule themselves."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from myna.core.generator import EventStream, RunningModel


class RelayRequest(msgspec.Struct, frozen=True):
    """A client's request, to be passed on unchanged.

    `path` is below the API's root, such as `chat/completions`; `messages` is in Anthropic's format. `headers`
    are those of the client's that belong to its request. `body` is the JSON object that the client sent,
    extension fields included, and is emptied when the request is open; the relay replaces its `model`, the
    name that the client used, by the upstream's. `is_stream`: the client asked for server-sent events.
    `request_id` is the response's `x-request-id`, for the upstream's log."""

    path: str
    body: Mapping[str, object]
    is_stream: bool
    request_id: str
    headers: Mapping[str, str] = {}


class Relay(RunningModel, Protocol):
    """A model on another server. To be used in one event loop."""

    async def open(self, request: RelayRequest) -> EventStream:
        """Send the request and wait for the response's headers. Nothing has been sent to the client until
        this returns, so the relay may try another server until then.

        The events are `WireChunk`s, for streams as they arrive, otherwise one with the whole body; then a
        `PromptDone` (unlike a generator's, it comes late, with the upstream's usage), a `ChoiceDone` for each
        choice whose end was seen, and `Done`. If the upstream reports no usage, the relay counts what it saw:
        never more than the client got.

        Raises `UpstreamRefused` with the upstream's 4xx response, `UpstreamFailed` (or its subclass
        `UpstreamTimeout`) if the upstream can't be reached, fails, or sends an invalid response, and
        `Overloaded` if it has no capacity. The stream raises `UpstreamFailed` if it breaks off.
        """
        ...

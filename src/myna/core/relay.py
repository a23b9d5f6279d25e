"""The upper seam for servers that render, schedule and speak the wire themselves: requests are passed on."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from myna.core.generator import EventStream, RunningModel


class RelayRequest(msgspec.Struct, frozen=True):
    """A client's request, to be sent on as it came.

    `path` is below the API's root, such as `chat/completions`. `body` is the JSON object that the client
    sent, extension fields included; its `model` is the name that the client asked for, in whose place the
    relay puts the upstream's own. `is_stream`: the client asked for server-sent events. `request_id` is the
    answer's `x-request-id`, for the upstream's log.
    """

    path: str
    body: Mapping[str, object]
    is_stream: bool
    request_id: str


class Relay(RunningModel, Protocol):
    """A model behind another server. For one event loop."""

    async def open(self, request: RelayRequest) -> EventStream:
        """Send the request and wait for the head of the answer. Nothing was sent to the client before this
        returns, so until then the relay may try again elsewhere.

        The events are `WireChunk`s, in a stream as they come and else one with the whole body; then a
        `PromptDone` (what the upstream says of the prompt comes last, unlike a generator's), a `ChoiceDone`
        for each choice whose end was seen, and `Done`. Where the upstream does not count, the relay counts
        what it saw: never more than the client got.

        Raises `UpstreamRefused` with the upstream's own 4xx answer, `UpstreamFailed` (and `UpstreamTimeout`,
        one kind of it) where it can't be reached, fails, or answers what can't be read, and `Overloaded`
        where it takes no more now. The stream raises `UpstreamFailed` where it breaks off.
        """
        ...

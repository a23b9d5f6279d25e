"""A small endpoint of the tests' own: a model's words, streamed or whole, on the path of the real ones."""

from collections.abc import Iterator

from myna.core.events import Event, TextDelta
from myna.core.requests import GenerationRequest
from myna.http.streaming import collect
from myna.request.context import ASGIResponse, Endpoint, RequestContext


class Words:
    """Renders and builds: each text is a line of data, the whole answer is the texts joined."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def feed(self, event: Event) -> bytes:
        if not isinstance(event, TextDelta):
            return b""
        self._texts.append(f"{event.choice}:{event.text}")
        return f"data: {event.choice}:{event.text}\n\n".encode()

    def end(self) -> bytes:
        return b"data: end\n\n"

    def body(self) -> bytes:
        return "".join(self._texts).encode()


async def say(context: RequestContext) -> None:
    body = await context.json_object()
    card = context.requested_card(body)
    count = body.get("prompts", 1)
    assert isinstance(count, int)
    is_stream = bool(body.get("stream"))
    async with context.response_sender(is_stream=is_stream) as response:
        model = await context.open_model(card)
        requests = [GenerationRequest(f"{context.id}-{i}", (1, 2, 3), 16) for i in range(count)]
        stream = await context.generate(model, requests)
        if is_stream:
            await response.send_events(stream, Words())
        else:
            builder = await collect(stream, Builder())
            await response.send_body(builder.parts())


class Builder:
    def __init__(self) -> None:
        self._words = Words()

    def feed(self, event: Event) -> None:
        self._words.feed(event)

    def parts(self) -> Iterator[bytes]:
        yield self._words.body()


async def fail(context: RequestContext) -> ASGIResponse:
    raise ZeroDivisionError("a bug of ours")


ENDPOINTS = (
    Endpoint("POST", "/v1/words", say, recorded_as="words"),
    Endpoint("POST", "/v1/fail", fail, recorded_as="fail"),
)

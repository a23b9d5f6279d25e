"""A small endpoint of the tests' own: a model's words, streamed or whole, on the path of the real ones."""

from collections.abc import Iterator

from myna.core.events import Event, TextDelta
from myna.core.requests import GenerationRequest
from myna.http.streaming import collect
from myna.request.context import Answer, Endpoint, RequestContext


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


async def say(call: RequestContext) -> None:
    body = await call.json_object()
    card = call.card(body)
    count = body.get("prompts", 1)
    assert isinstance(count, int)
    is_stream = bool(body.get("stream"))
    async with call.answering(is_stream=is_stream) as answer:
        model = await call.open(card)
        requests = [GenerationRequest(f"{call.id}-{i}", (1, 2, 3), 16) for i in range(count)]
        stream = await call.generate(model, requests)
        if is_stream:
            await answer.send_events(stream, Words())
        else:
            builder = await collect(stream, Builder())
            await answer.send_body(builder.parts())


class Builder:
    def __init__(self) -> None:
        self._words = Words()

    def feed(self, event: Event) -> None:
        self._words.feed(event)

    def parts(self) -> Iterator[bytes]:
        yield self._words.body()


async def fail(call: RequestContext) -> Answer:
    raise ZeroDivisionError("a bug of ours")


ENDPOINTS = (
    Endpoint("POST", "/v1/words", say, recorded_as="words"),
    Endpoint("POST", "/v1/fail", fail, recorded_as="fail"),
)

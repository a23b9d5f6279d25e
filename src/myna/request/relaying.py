"""Answers of models behind other servers: requests go on as they came, answers come back as they are."""

from collections.abc import Iterator, Mapping
from typing import Final

from myna.accounts.limiting import Cost
from myna.catalog.registry import ModelCard
from myna.core.events import Event, WireChunk
from myna.core.relay import RelayRequest
from myna.http.streaming import collect
from myna.request.context import RequestContext

_BYTES_PER_TOKEN: Final = 4  # of a request's body, roughly
_MOST_TOKENS: Final = 1 << 24
_MOST_CHOICES: Final = 128


async def answer_relayed(
    call: RequestContext, card: ModelCard, body: Mapping[str, object], path: str
) -> None:
    """The whole answer to a call of a model whose card `is_relayed`; `path` is the endpoint's below /v1.
    Nothing but `model` and `stream` in the body is looked at here."""
    user = body.get("user") or body.get("safety_identifier")
    call.record.user = user if isinstance(user, str) else ""
    is_stream = body.get("stream") is True
    async with call.answering(is_stream=is_stream) as answer:
        model = await call.open(card)
        relay, request = model.relay, RelayRequest(path, body, is_stream, call.id)
        assert relay is not None, "the card says so"
        events = await call.metered(model, _cost(call, body), lambda: relay.open(request))
        if is_stream:
            await answer.send_events(events, _Chunks())
        else:
            await answer.send_body((await collect(events, _Body())).parts())


class _Chunks:
    """A `streaming.ChunkRenderer`: the upstream's own server-sent events."""

    def feed(self, event: Event) -> bytes:
        return event.data if type(event) is WireChunk else b""

    def end(self) -> bytes:
        return b""


class _Body:
    """A `streaming.Fold`: the upstream's own body."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def feed(self, event: Event) -> None:
        if type(event) is WireChunk:
            self._chunks.append(event.data)

    def parts(self) -> Iterator[bytes]:
        return iter(self._chunks)


def _cost(call: RequestContext, body: Mapping[str, object]) -> Cost:
    """An estimate of what the request may come to, for the key's limits."""
    length = call.request.headers.get("content-length", "")
    prompt_tokens = int(length) // _BYTES_PER_TOKEN if length.isdecimal() else 0
    asked = _number(body.get("max_completion_tokens"), _MOST_TOKENS)
    if asked is None:
        asked = _number(body.get("max_tokens"), _MOST_TOKENS)
    longest = call.services.max_answer_tokens or _MOST_TOKENS
    num_choices = _number(body.get("n"), _MOST_CHOICES) or 1
    return Cost(prompt_tokens, (longest if asked is None else asked) * num_choices, asked is None)


def _number(value: object, most: int) -> int | None:
    """What the upstream may still refuse."""
    return min(max(value, 0), most) if isinstance(value, int) and not isinstance(value, bool) else None

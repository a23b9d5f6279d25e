"""Requests to models on other servers: request and response are passed through unchanged."""

from collections.abc import Iterator, Mapping
from typing import Final

from myna.accounts.limiting import TokenEstimate
from myna.catalog.registry import ModelCard
from myna.core.errors import WrongEndpoint
from myna.core.events import Event, WireChunk
from myna.core.relay import RelayRequest
from myna.generation.service_tier import requested_tier
from myna.http.event_format import OPENAI_EVENTS, EventFormat
from myna.http.record import request_header
from myna.http.streaming import ChunkRenderer, collect
from myna.request.context import RequestContext
from myna.request.service_tiers import served_tier

_BYTES_PER_TOKEN: Final = 4  # of text, roughly
_MEDIA_BYTES: Final = 4096  # of text with about as many tokens as an image
_MEDIA_KEYS: Final = ("data", "file_data")
_MAX_TOKENS: Final = 1 << 24
_MAX_CHOICES: Final = 128
_ANTHROPIC_HEADERS: Final = ("anthropic-version", "anthropic-beta")
_NOT_GENERATING: Final = ("embeddings", "moderations")
_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")


async def answer_relayed(
    context: RequestContext,
    card: ModelCard,
    body: dict[str, object],
    path: str,
    framing: EventFormat = OPENAI_EVENTS,
    renderer: ChunkRenderer | None = None,
) -> None:
    """Relay a request to a model whose card `is_relayed`; `path` is the endpoint's path below /v1. Only
    `model`, `stream`, the tier, the user and the token limits in the body are read here. The body is emptied
    when it has been sent: it may be large, and the response take an hour. A `renderer` sees the chunks of a
    stream; None: they are passed on."""
    await _permit_tier(context, card, body)
    user = body.get("user") or body.get("safety_identifier")
    context.record.user = user if isinstance(user, str) else ""
    is_stream = body.get("stream") is True
    async with context.response_sender(is_stream=is_stream, events=framing) as response:
        model = await context.open_model(card)
        relay, request = model.relay, RelayRequest(path, body, is_stream, context.id, _own_headers(context))
        assert relay is not None, "the card says so"
        estimate = await context.services.large_bodies.run_if_large(
            context.body_bytes,
            context.principal.key_id,
            lambda: _estimate(context, body, generates=path not in _NOT_GENERATING),
        )
        events = await context.metered(model, estimate, lambda: relay.open(request))
        body.clear()
        if is_stream:
            await response.send_events(events, renderer or _Chunks())
        else:
            await response.send_body((await collect(events, _Body())).parts())


def uncounted(card: ModelCard) -> WrongEndpoint:
    """The error of a request to count tokens for a model whose card `is_relayed`."""
    return WrongEndpoint(
        f"Tokens can't be counted for {card.id!r}: it runs on the upstream {card.owned_by!r}, and only "
        "models of this server have a tokenizer here."
    )


async def _permit_tier(context: RequestContext, card: ModelCard, body: dict[str, object]) -> None:
    """Replace a tier that the key may not use: another service may charge for it."""
    requested = body.get("service_tier")
    if isinstance(requested, str) and requested_tier(requested) != await served_tier(
        context, requested, card
    ):
        body["service_tier"] = "default"


def _own_headers(context: RequestContext) -> Mapping[str, str]:
    """The headers that belong to the client's request: the features of Anthropic's API that it uses."""
    scope = context.request.scope
    values = {name: request_header(scope, name.encode("ascii")) for name in _ANTHROPIC_HEADERS}
    return {name: value for name, value in values.items() if value and value.isascii()}


class _Chunks:
    """A `streaming.ChunkRenderer`: the upstream's own server-sent events."""

    def feed(self, event: Event) -> bytes:
        return event.data if type(event) is WireChunk else b""

    def end(self) -> bytes:
        return b""


class _Body:
    """A `streaming.Accumulator`: the upstream's own body."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def feed(self, event: Event) -> None:
        if type(event) is WireChunk:
            self._chunks.append(event.data)

    def parts(self) -> Iterator[bytes]:
        return iter(self._chunks)


def _estimate(context: RequestContext, body: Mapping[str, object], *, generates: bool) -> TokenEstimate:
    """An estimate of the tokens that the request may use, for the key's limits, and for the ledger if the
    upstream doesn't report them."""
    prompt_tokens = _text_bytes(body) // _BYTES_PER_TOKEN
    if not generates:
        return TokenEstimate(prompt_tokens, 0, is_unbounded=False)
    requested = next(
        (found for name in _LIMITS if (found := _number(body.get(name), _MAX_TOKENS)) is not None), None
    )
    server_limit = context.services.answer_limits.max_tokens or _MAX_TOKENS
    num_choices = _number(body.get("n"), _MAX_CHOICES) or 1
    return TokenEstimate(
        prompt_tokens, (server_limit if requested is None else requested) * num_choices, requested is None
    )


def _text_bytes(body: Mapping[str, object]) -> int:
    """The size of the texts in the body, with a fixed size for each image or file."""
    total = 0
    rest: list[tuple[str, object]] = [("", body)]
    while rest:
        key, value = rest.pop()
        if isinstance(value, str):
            is_media = key in _MEDIA_KEYS or value.startswith("data:")
            total += _MEDIA_BYTES if is_media else len(value) if value.isascii() else len(value.encode())
        elif isinstance(value, dict):
            total += sum(map(len, value))
            rest.extend(value.items())
        elif isinstance(value, list):
            rest.extend((key, child) for child in value)
        else:
            total += 1
    return total


def _number(value: object, maximum: int) -> int | None:
    """The value as a bounded integer, or None; the upstream validates it."""
    return min(max(value, 0), maximum) if isinstance(value, int) and not isinstance(value, bool) else None

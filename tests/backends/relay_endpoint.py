"""A small endpoint of the tests' own that relays, on the path of the real ones."""

from functools import partial
from typing import TypeVar

from myna.accounts.limiting import Cost
from myna.catalog.listing import ModelCard
from myna.core.generator import EventStream
from myna.core.relay import RelayRequest
from myna.serving.call import Answer, Call, Endpoint
from myna.serving.relaying import RelayedBody, RelayedChunks
from myna.serving.streaming import EventStreamAnswer, WholeAnswer

T = TypeVar("T", RelayedBody, RelayedChunks)


async def pass_on(call: Call) -> Answer:
    body = await call.json_object()
    card = call.card(body)
    if body.get("stream"):
        return EventStreamAnswer(
            partial(_open, call, card, body, RelayedChunks), keep_alive_s=call.services.keep_alive_s
        )
    return WholeAnswer(partial(_open, call, card, body, RelayedBody))


async def _open(
    call: Call, card: ModelCard, body: dict[str, object], ending: type[T]
) -> tuple[EventStream, T]:
    model = await call.open(card)
    assert model.relay is not None
    request = RelayRequest("words", body, bool(body.get("stream")), call.id)
    return await call.relay(model, model.relay, request, Cost(10, 100, False)), ending()


ENDPOINTS = (Endpoint("POST", "/v1/relayed", pass_on, bills="relayed"),)

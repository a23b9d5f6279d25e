"""`POST /v1/completions`: from a request to its stream of events, and to one of the two endings."""

import time
from functools import partial
from typing import Final, TypeVar

from myna.api.completions.answer import AnswerFold
from myna.api.completions.chunks import ChunkRenderer
from myna.api.completions.convert import check, plan, to_generation
from myna.api.completions.encoding import Encoder
from myna.api.completions.schema import CompletionRequest
from myna.catalog.listing import ModelCard
from myna.core.generator import EventStream
from myna.core.requests import Sampling
from myna.serving.call import Answer, Call, Endpoint
from myna.serving.deps import require
from myna.serving.ids import completion_id
from myna.serving.parameters import COMPLETIONS
from myna.serving.requester import requester_of, room
from myna.serving.streaming import EventStreamAnswer, WholeAnswer

T = TypeVar("T", ChunkRenderer, AnswerFold)

_HEADERS: Final = {"cache-control": "no-cache, must-revalidate"}


async def create_completion(call: Call) -> Answer:
    """Everything that can be refused is, before the first byte."""
    require(call.principal, "model.request")
    body = await call.json_object()
    card = call.card(body)
    request = await call.validated(CompletionRequest, body, COMPLETIONS)
    call.record.user = request.user or ""
    headers = {**_HEADERS, "openai-model": card.id}
    if not request.stream:
        return WholeAnswer(partial(_open, call, card, request, AnswerFold), headers=headers)
    return EventStreamAnswer(
        partial(_open, call, card, request, ChunkRenderer),
        content_type="text/event-stream",
        headers=headers,
        keep_alive_s=call.services.keep_alive_s,
    )


async def _open(
    call: Call, card: ModelCard, request: CompletionRequest, ending: type[T]
) -> tuple[EventStream, T]:
    """The model, after its load if need be; the prompts; admission."""
    model = await call.open(card)
    info = model.generator.info
    check(request, info, call.services.max_answer_tokens)
    encoder = Encoder(request, model.prompting, wraps=card.kind == "instruct", context_tokens=room(info))
    prompts = await call.in_text_thread(encoder.encode)
    requester = requester_of(call.principal)
    generations = [
        to_generation(request, prompt, info, requester, id=f"{call.id}-{i}", defaults=Sampling())
        for i, prompt in enumerate(prompts)
    ]
    stream = await call.generate(model, generations)
    created = int(time.time())
    return stream, ending(completion_id("cmpl-", created), created, card.id, prompts, plan(request))


ENDPOINTS: Final = (Endpoint("POST", "/v1/completions", create_completion, bills="completions"),)

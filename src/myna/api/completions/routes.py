"""`POST /v1/completions`: one function from the request to the last byte of its answer."""

import time
from typing import Final

from myna.api.completions.answer import AnswerFold
from myna.api.completions.chunks import ChunkRenderer
from myna.api.completions.convert import EncodedPrompt, check, to_generation, to_response_spec
from myna.api.completions.encoding import Encoder
from myna.api.completions.schema import CompletionRequest
from myna.catalog.pool import ServedModel
from myna.core.requests import Sampling
from myna.generation.budgets import refuse_many_logprobs
from myna.generation.tenant import context_length, tenant_of
from myna.http.streaming import collect
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.request.relaying import answer_relayed
from myna.wire.ids import completion_id
from myna.wire.parameters import COMPLETIONS

_HEADERS: Final = {"cache-control": "no-cache, must-revalidate"}


async def create_completion(call: RequestContext) -> None:
    """Everything that can be refused is, before the first byte."""
    require(call.principal, "model.request")
    body = await call.json_object()
    card = call.card(body)
    if card.is_relayed:
        await answer_relayed(call, card, body, "completions")
        return
    request = await call.validated(CompletionRequest, body, COMPLETIONS)
    call.record.user = request.user or ""
    headers = {**_HEADERS, "openai-model": card.id}
    if request.stream:
        headers["content-type"] = "text/event-stream"
    async with call.answering(is_stream=bool(request.stream), headers=headers) as answer:
        model = await call.open(card)
        check(request, model.generator.info, call.services.max_answer_tokens)
        prompts = await _encode(call, request, model)
        generations = [
            to_generation(
                request,
                prompt,
                model.generator.info,
                tenant_of(call.principal),
                id=f"{call.id}-{i}",
                defaults=Sampling(),
            )
            for i, prompt in enumerate(prompts)
        ]
        events = await call.generate(model, generations)
        created, spec = int(time.time()), to_response_spec(request)
        shape = (completion_id("cmpl-", created), created, card.id, prompts, spec)
        if request.stream:
            await answer.send_events(events, ChunkRenderer(*shape))
        else:
            fold = await collect(events, AnswerFold(*shape))
            await answer.send_body(fold.parts())


async def _encode(
    call: RequestContext, request: CompletionRequest, model: ServedModel
) -> list[EncodedPrompt]:
    encoder = Encoder(
        request,
        model.renderer,
        wraps=model.card.kind == "instruct",
        context_tokens=context_length(model.generator.info),
    )
    prompts = await call.in_text_thread(encoder.encode)
    if request.echo and request.logprobs is not None:
        num_tokens = sum(len(prompt.tokens) for prompt in prompts) * (request.n or 1)
        refuse_many_logprobs(num_tokens, request.logprobs, "logprobs")
    return prompts


ENDPOINTS: Final = (Endpoint("POST", "/v1/completions", create_completion, recorded_as="completions"),)

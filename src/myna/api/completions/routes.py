"""`POST /v1/completions`: one function from the request to the last byte of the response."""

import time
from typing import Final

from myna.api.completions.answer import CompletionAccumulator
from myna.api.completions.chunks import CompletionChunkRenderer
from myna.api.completions.convert import EncodedPrompt, check, limits_of, to_generation, to_spec
from myna.api.completions.encoding import PromptEncoder
from myna.api.completions.schema import CompletionRequest
from myna.catalog.pool import ServedModel
from myna.core.constraints import Constraint
from myna.generation.budgets import AnswerLimits, check_logprob_count
from myna.generation.hints import unenforced_hint
from myna.generation.structured_outputs import structured_answer
from myna.generation.tenant import context_length, tenant_of
from myna.generation.tool_choice import answer_constraint
from myna.http.streaming import collect
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.request.relaying import answer_relayed
from myna.wire.ids import completion_id
from myna.wire.parameters import COMPLETIONS

_HEADERS: Final = {"cache-control": "no-cache, must-revalidate"}


async def create_completion(context: RequestContext) -> None:
    """Everything that can be rejected is rejected before the first byte."""
    require(context.principal, "model.request")
    body = await context.json_object()
    card = context.requested_card(body)
    if card.is_relayed:
        await answer_relayed(context, card, body, "completions")
        return
    request = await context.validated(CompletionRequest, body, COMPLETIONS, may_ignore=True)
    context.record.user = request.user or ""
    headers = {**_HEADERS, "openai-model": card.id}
    if request.stream:
        headers["content-type"] = "text/event-stream"
    async with context.response_sender(is_stream=bool(request.stream), headers=headers) as response:
        model = await context.open_model(card)
        limits = limits_of(request, context.services.answer_limits)
        check(request, model.generator.info, limits)
        prompts = await _encode(context, request, model, limits)
        constraint = await _constraint(context, request)
        generations = [
            to_generation(
                request,
                prompt,
                model.generator.info,
                tenant_of(context.principal),
                id=f"{context.id}-{i}",
                defaults=model.sampling,
                limits=limits,
                constraint=constraint,
            )
            for i, prompt in enumerate(prompts)
        ]
        events = await context.generate(model, generations)
        created, spec = int(time.time()), to_spec(request)
        shape = (completion_id("cmpl-", created), created, card.id, prompts, spec)
        if request.stream:
            await response.send_events(events, CompletionChunkRenderer(*shape))
        else:
            accumulator = await collect(events, CompletionAccumulator(*shape))
            await response.send_body(accumulator.parts())


async def _constraint(context: RequestContext, request: CompletionRequest) -> Constraint | None:
    """The constraint on the completion, if a format is requested; reading a schema is slow."""
    if (answer := structured_answer(request)) is None:
        return None
    constraint = await context.in_text_thread(answer_constraint, answer, None)
    if text := await context.in_text_thread(unenforced_hint, constraint):
        context.record.hint(text)
    return constraint


async def _encode(
    context: RequestContext, request: CompletionRequest, model: ServedModel, limits: AnswerLimits
) -> list[EncodedPrompt]:
    encoder = PromptEncoder(
        request,
        model.renderer,
        wraps=model.card.kind == "instruct",
        context_tokens=context_length(model.generator.info),
        limits=limits,
    )
    prompts = await context.in_text_thread(encoder.encode)
    if request.echo and request.logprobs is not None:
        num_tokens = sum(len(prompt.tokens) for prompt in prompts) * (request.n or 1)
        check_logprob_count(num_tokens, request.logprobs, "logprobs")
    return prompts


ENDPOINTS: Final = (Endpoint("POST", "/v1/completions", create_completion, recorded_as="completions"),)

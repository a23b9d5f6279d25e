"""`POST /v1/embeddings`: one function from the request to the last byte of the response."""

from typing import Final

from myna.accounts.limiting import TokenEstimate
from myna.api.embeddings.answer import EmbeddingAccumulator
from myna.api.embeddings.encoding import InputEncoder, check_dimensions
from myna.api.embeddings.schema import EmbeddingsRequest
from myna.core.requests import EmbeddingRequest
from myna.generation.tenant import tenant_of
from myna.http.streaming import collect
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.request.relaying import answer_relayed
from myna.wire.parameters import EMBEDDINGS


async def create_embeddings(context: RequestContext) -> None:
    """Everything that can be rejected is rejected before anything is computed."""
    require(context.principal, "model.request")
    body = await context.json_object()
    card = context.requested_card(body)
    if card.is_relayed:
        await answer_relayed(context, card, body, "embeddings")
        return
    request = await context.validated(EmbeddingsRequest, body, EMBEDDINGS, may_ignore=True)
    context.record.user = request.user or ""
    async with context.response_sender(is_stream=False, headers={"openai-model": card.id}) as response:
        model = await context.open_model(card, embeds=True)
        embedder, texts = model.embedder, model.texts
        check_dimensions(request.dimensions, texts, embedder.info)
        encoder = InputEncoder(texts, embedder.info, card.prefix)
        inputs = await context.in_text_thread(encoder.encode, request.input)
        tenant = tenant_of(context.principal)
        job = EmbeddingRequest(context.id, inputs, tenant.priority(), tenant.owner)
        assert embedder.info.embedding is not None
        width = embedder.info.embedding.width
        context.answer_bytes = len(inputs) * width * 4
        estimate = TokenEstimate(job.num_prompt_tokens, 0, is_unbounded=False)
        events = await context.metered(model, estimate, lambda: embedder.embed(job))
        accumulator = EmbeddingAccumulator(
            card.id,
            len(inputs),
            width,
            dimensions=request.dimensions,
            is_base64=request.encoding_format == "base64",
        )
        await response.send_body((await collect(events, accumulator)).parts())


ENDPOINTS: Final = (Endpoint("POST", "/v1/embeddings", create_embeddings, recorded_as="embeddings"),)

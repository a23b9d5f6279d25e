"""`system_fingerprint`: changes exactly when the output for the same request could change."""

from hashlib import sha256
from typing import Final

from myna.catalog.pool import ServedModel
from myna.generation.tenant import context_length

# Increment when the same request would reach the engine with other tokens or be sampled differently:
# changes to prompts, grammars or sampling.
OUTPUT_VERSION: Final = 1


def system_fingerprint(model: ServedModel, max_answer_tokens: int = 0) -> str:
    """A hash of the weights, the engine and its arithmetic, the chat template, our own version, the limits on
    the length of a completion, and the model's sampling defaults."""
    info = model.generator.info
    parts = (
        model.weights,
        info.arithmetic,
        model.renderer.template_id,
        OUTPUT_VERSION,
        context_length(info),
        max_answer_tokens,
        model.sampling,
    )
    digest = sha256("\0".join(map(str, parts)).encode()).hexdigest()
    return f"fp_{digest[:10]}"

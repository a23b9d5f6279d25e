"""`system_fingerprint`: changes exactly when an answer could."""

from hashlib import sha256
from typing import Final

from myna.catalog.pool import ServedModel
from myna.generation.tenant import context_length

# Changes whenever the same request could be given to the same engine with other tokens, or drawn otherwise:
# with prompts, grammars, sampling.
PROMPT_AND_DRAW_VERSION: Final = 1


def system_fingerprint(model: ServedModel, most_tokens: int = 0) -> str:
    """Of the weights, the engine and its arithmetic, the chat template, our own part in answers, and how
    long they may be."""
    info = model.generator.info
    parts = (
        model.weights,
        info.arithmetic,
        model.renderer.template_id,
        PROMPT_AND_DRAW_VERSION,
        context_length(info),
        most_tokens,
    )
    digest = sha256("\0".join(map(str, parts)).encode()).hexdigest()
    return f"fp_{digest[:10]}"

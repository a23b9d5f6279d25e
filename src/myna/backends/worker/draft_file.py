"""Checks whether a file can be a model's draft model, and counts the memory of both."""

from dataclasses import dataclass, replace
from typing import Final

from myna.backends.worker.model_size import draft_size
from myna.core.backend import LocalModel, ModelSize, without_path
from myna.core.errors import ModelFileError
from myna.core.translatable import N_, Translatable
from myna.prompts.gguf import Header, read_header, shard_paths
from myna.prompts.model_check import check_model
from myna.prompts.pooling import find_pooling

_TOKENS: Final = "tokenizer.ggml.tokens"
_MAX_PADDING: Final = 512  # models of a family may differ in unused tokens at the end of the vocabulary


@dataclass(frozen=True, slots=True)
class Pair:
    """The memory that a model and its draft model need together; `draft_part` of the KV cache is the draft
    model's, so that both hold as many tokens."""

    size: ModelSize
    draft_part: float


def with_draft(
    model: LocalModel, header: Header, size: ModelSize, *, is_packed: bool, kv_cache_type: str = "auto"
) -> Pair:
    """The model of that header and size, with its draft model if it has one. The rest as in
    `model_size.model_size`. Raises `ModelFileError` for one that can't be its draft model."""
    draft = model.draft
    if draft is None:
        return Pair(size, 0.0)
    small = _inspect(draft, model, header, is_packed=is_packed, kv_cache_type=kv_cache_type)
    token_bytes = size.kv_token_bytes + small.kv_token_bytes
    both = replace(
        size,
        weights_bytes=size.weights_bytes + small.weights_bytes,
        kv_token_bytes=token_bytes,
        process_bytes=size.process_bytes + small.process_bytes,
    )
    return Pair(both, small.kv_token_bytes / max(1, token_bytes))


def _inspect(
    draft: LocalModel, model: LocalModel, header: Header, *, is_packed: bool, kv_cache_type: str
) -> ModelSize:
    if draft.path.is_dir():
        raise _refusal(draft, model, N_("it is a folder, not a GGUF file"))
    try:
        other = read_header(draft.path)
        check_model(other)
        paths = shard_paths(draft.path, other)
        size = draft_size(other, paths, is_packed=is_packed, kv_cache_type=kv_cache_type)
    except ModelFileError as exc:
        raise _refusal(draft, model, without_path(draft, exc.text)) from exc
    except OSError as exc:
        raise _refusal(draft, model, str(exc.strerror)) from exc
    if find_pooling(header) or find_pooling(other):
        raise _refusal(draft, model, N_("an embedding model neither has one nor is one"))
    if size.state_bytes:
        raise _refusal(draft, model, N_("it has recurrent layers, which can't take tokens back"))
    if not _share_vocabulary(header, other):
        raise _refusal(draft, model, N_("their vocabularies differ"))
    return size


def _share_vocabulary(one: Header, other: Header) -> bool:
    """The text of every token is the same, but for a few at the end that only one of them has."""
    tokens, others = one.strings(_TOKENS), other.strings(_TOKENS)
    size = min(len(tokens), len(others))
    return max(len(tokens), len(others)) - size <= _MAX_PADDING and tokens[:size] == others[:size]


def _refusal(draft: LocalModel, model: LocalModel, reason: str | Translatable) -> ModelFileError:
    return ModelFileError(
        N_(
            "{draft!r} can't be the draft model of {model!r}: {reason}. Choose a smaller model of the same "
            "family, or remove the setting draft.",
            draft=draft.id,
            model=model.id,
            reason=reason,
        )
    )

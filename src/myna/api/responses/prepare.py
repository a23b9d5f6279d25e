"""Turns a request and the items before it into a generation request and the form of its output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from myna.accounts.sealing import Sealer
from myna.api.responses.check import check_json_word, check_pairs
from myna.api.responses.convert import ShownTool, answer_format, sampling, shown_tools, tool_choice
from myna.api.responses.messages import ReadBlob, to_messages
from myna.api.responses.output import OutputSpec
from myna.api.responses.schema import ResponsesRequest
from myna.api.responses.truncation import fitting
from myna.catalog.pool import ServedModel
from myna.core.errors import ContextLengthExceeded, InvalidRequest
from myna.core.requests import GenerationRequest
from myna.core.stored_responses import MAX_HISTORY_BYTES
from myna.generation.budgets import AnswerLimits
from myna.generation.conversation import ConversationRequest, count_prompt, to_generation
from myna.generation.tenant import Tenant, context_length
from myna.generation.tool_choice import ResolvedTools
from myna.wire.ids import ItemIds
from myna.wire.response_items import Compaction, Item

THOUGHT: Final = "reasoning"
SUMMARY: Final = "compaction"
"""The kinds of opaque tokens."""
_ROOM_TOKENS: Final = 256
"""Truncation leaves room for an answer of this length, if none is requested."""
TOO_LONG_TEXT: Final = (
    "Your input exceeds the context window of this model. Please adjust your input and try again."
)


@dataclass(frozen=True, slots=True)
class RequesterInfo:
    """Who asks, what limits the answer, and where hints for the client go. `id` is the request's."""

    tenant: Tenant
    id: str
    limits: AnswerLimits
    hint: Callable[[str], object]
    sealer: Sealer


@dataclass(frozen=True, slots=True)
class Prepared:
    """A generation request, with its tools as the model sees them and as resolved."""

    generation: GenerationRequest
    shown: tuple[ShownTool, ...]
    tools: ResolvedTools | None

    def output_spec(self, request: ResponsesRequest, ids: ItemIds, sealer: Sealer) -> OutputSpec:
        """The form of the output."""
        has_calls = self.tools is not None and bool(self.tools.callable)
        return OutputSpec(
            ids,
            reader=self.tools.reader() if self.tools is not None and has_calls else None,
            names={tool.shown: (tool.name, tool.namespace) for tool in self.shown},
            wants_logprobs=request.wants_logprobs,
            is_summary=request.reasoning_options.summary is not None,
            seal=partial(sealer.seal, kind=THOUGHT) if request.wants_encrypted_reasoning else None,
        )


def prepare(
    request: ResponsesRequest, items: Sequence[Item], model: ServedModel, tier: str, requester: RequesterInfo
) -> Prepared:
    """The generation request for a context of these items. Slow for a long one: call it in a thread.

    Raises `InvalidRequest` for what the model doesn't support, and `ContextLengthExceeded` for what doesn't
    fit it, unless the request wants it truncated.
    """
    read_blob = _checked(request, items, model, requester.sealer)
    requester.limits.check("max_output_tokens", request.max_output_tokens)
    is_truncated, least = request.truncation == "auto", _least_room(request, model, requester.limits)

    def attempt(kept: Sequence[Item]) -> Prepared | None:
        try:
            prepared = _prepare(request, kept, model, tier, requester, read_blob)
        except ContextLengthExceeded:
            return None
        has_room = prepared.generation.max_tokens >= least or not is_truncated
        return prepared if has_room else None

    prepared = fitting(items, attempt) if is_truncated else attempt(items)
    if prepared is None:
        raise _too_long()
    return prepared


def count_tokens(
    request: ResponsesRequest, items: Sequence[Item], model: ServedModel, requester: RequesterInfo
) -> int:
    """The number of tokens of the prompt that `prepare` makes. Likewise slow, and raises as it does, except
    that a prompt may be longer than the context."""
    if request.truncation == "auto":
        return len(prepare(request, items, model, "default", requester).generation.prompt_tokens)
    read_blob = _checked(request, items, model, requester.sealer)
    conversation, _ = _conversation(request, items, model, "default", read_blob)
    try:
        return count_prompt(conversation, model.renderer, model.generator.info)
    except ContextLengthExceeded as exc:  # so long that nobody counts it
        raise _too_long() from exc


def _checked(
    request: ResponsesRequest, items: Sequence[Item], model: ServedModel, sealer: Sealer
) -> ReadBlob:
    """Raise for what can't be answered; returns how to read opaque tokens."""
    if not model.renderer.has_chat_template:
        raise InvalidRequest(
            f"The requested model '{model.card.id}' cannot be used with the Responses API.", param="model"
        )
    read_blob = partial(read_token, sealer)
    check_blobs(items, read_blob)
    check_json_word(request, items)
    check_pairs(items)
    return read_blob


def _bounded(read_blob: ReadBlob) -> ReadBlob:
    """Opaque tokens are compressed: raises `ContextLengthExceeded` for more text than a history may have."""
    num_chars = 0

    def read(token: str) -> str | None:
        nonlocal num_chars
        text = read_blob(token)
        num_chars += len(text or "")
        if num_chars > MAX_HISTORY_BYTES:
            raise _too_long()
        return text

    return read


def _too_long() -> ContextLengthExceeded:
    return ContextLengthExceeded(TOO_LONG_TEXT, param="input", code="context_length_exceeded")


def read_token(sealer: Sealer, token: str) -> str | None:
    """The text of an opaque token of a thought or a summary."""
    return sealer.open(token, THOUGHT) or sealer.open(token, SUMMARY)


def check_blobs(items: Sequence[Item], read_blob: ReadBlob) -> None:
    """Raise for a summary that this server didn't write, without which earlier items would be missing."""
    for item in items:
        if isinstance(item, Compaction) and read_blob(item.encrypted_content) is None:
            raise InvalidRequest(
                f"The encrypted content of the item '{item.id or 'compaction'}' could not be verified.",
                param="input",
                code="invalid_encrypted_content",
            )


def _least_room(request: ResponsesRequest, model: ServedModel, limits: AnswerLimits) -> int:
    """The tokens that truncation leaves for the answer."""
    wanted = request.max_output_tokens or _ROOM_TOKENS
    return min(wanted, limits.max_tokens or wanted, context_length(model.generator.info) // 4)


def _prepare(
    request: ResponsesRequest,
    items: Sequence[Item],
    model: ServedModel,
    tier: str,
    requester: RequesterInfo,
    read_blob: ReadBlob,
) -> Prepared:
    conversation, shown = _conversation(request, items, model, tier, read_blob)
    generation, tools = to_generation(
        conversation,
        model.renderer,
        model.generator.info,
        requester.tenant,
        id=requester.id,
        limits=requester.limits.within(1, conversation.num_logprobs),
        hint=requester.hint,
    )
    return Prepared(generation, shown, tools)


def _conversation(
    request: ResponsesRequest, items: Sequence[Item], model: ServedModel, tier: str, read_blob: ReadBlob
) -> tuple[ConversationRequest, tuple[ShownTool, ...]]:
    """The request in the form that all endpoints share, and its tools."""
    shown = shown_tools(request.tools or ())
    return ConversationRequest(
        messages=to_messages(request.instructions, items, _bounded(read_blob)),
        sampling=sampling(request, model.sampling),
        requested_tokens=request.max_output_tokens,
        num_logprobs=(request.top_logprobs or 0) if request.wants_logprobs else None,
        tools=tuple(tool.declared for tool in shown),
        tool_choice=tool_choice(request.tool_choice, shown),
        is_parallel=request.parallel_tool_calls is not False,
        answer=answer_format(request.text_options.format),
        effort=request.reasoning_options.effort,
        service_tier=tier,
        is_stream=bool(request.stream),
        messages_param="input",
    ), shown

"""Converts a request to the types of `core` and `generation`. Pure."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from myna.api.messages.blocks import (
    Block,
    DocumentBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    document_text,
)
from myna.api.messages.schema import MessagesRequest, PromptRequest, Tool
from myna.api.messages.signatures import Unsealer, is_changed
from myna.api.messages.turns import Turn, turns_of
from myna.core.conversation import Message, TextPart, ToolCall, ToolSpec
from myna.core.errors import InvalidRequest
from myna.core.requests import Sampling
from myna.generation.conversation import ConversationRequest
from myna.generation.sampling import SamplingOptions, to_sampling
from myna.generation.tool_choice import ANY_TOOL, AnswerFormat, DeclaredTool, ToolChoice
from myna.wire.validation_errors import echoed

# Claude Code's first block differs from request to request; at the beginning of the prompt, it would defeat
# the prefix cache.
_BILLING: Final = "x-anthropic-billing-header:"
_FAILED: Final = "Error: "

Hint = Callable[[str], object]


def to_prompt(request: PromptRequest, hint: Hint) -> ConversationRequest:
    """What becomes the prompt, in the form that all endpoints share. `hint` is called with what the client
    should know. Raises `InvalidRequest` for what doesn't go together."""
    turns = turns_of(request.messages)
    prefill = _taken_prefill(turns)
    _put_instructions_first(turns)
    form = request.output_config.format if request.output_config else None
    if prefill and form is not None:
        raise InvalidRequest(
            "output_config.format: the answer can't have a format if the last message is the assistant's"
        )
    thinking, choice = request.thinking, request.tool_choice
    return ConversationRequest(
        messages=[*_system(request), *_messages(turns, hint)],
        sampling=Sampling(),
        tools=_declared(request.tools or ()),
        tool_choice=_tool_choice(request),
        is_parallel=not (choice and choice.disable_parallel_tool_use),
        answer=AnswerFormat("output_config.format", "output_config.format", form.schema_) if form else None,
        effort=_effort(request),
        thinks=thinking is not None and thinking.type != "disabled",
        max_thought_tokens=_thought_tokens(request),
        prefill=prefill,
    )


def to_conversation(request: MessagesRequest, defaults: Sampling, hint: Hint) -> ConversationRequest:
    """The whole request; `defaults` are the model's sampling parameters. Raises as `to_prompt`."""
    if _thought_tokens(request) >= request.max_tokens:
        raise InvalidRequest("`max_tokens` must be greater than `thinking.budget_tokens`")
    sampling = SamplingOptions(request.temperature, request.top_p, request.top_k)
    return replace(
        to_prompt(request, hint),
        sampling=to_sampling(sampling, defaults),
        requested_tokens=request.max_tokens,
        stop=tuple(request.stop_sequences or ()),
        is_stream=bool(request.stream),
    )


def marks_cache(request: PromptRequest) -> bool:
    """Whether anything in the request is marked for the cache."""
    if request.cache_control is not None:
        return True
    blocks: list[Block | Tool] = [*(request.tools or ())]
    if isinstance(request.system, list):
        blocks += request.system
    for message in request.messages:
        if isinstance(message.content, list):
            blocks += message.content
    return any(block.cache_control is not None for block in blocks)


# --- messages ---


def _system(request: PromptRequest) -> list[Message]:
    system = request.system or ()
    texts = [system] if isinstance(system, str) else [block.text for block in system]
    parts = tuple(TextPart(text) for text in texts if text and not text.startswith(_BILLING))
    return [Message("system", parts)] if parts else []


def _taken_prefill(turns: list[Turn]) -> str:
    """The text that the answer continues: that of a final assistant's turn, which is removed."""
    if turns[-1].role != "assistant":
        return ""
    text = "\n".join(block.text for block in turns.pop().blocks if isinstance(block, TextBlock))
    if text != text.rstrip():
        raise InvalidRequest("messages: final assistant content cannot end with trailing whitespace")
    return text


def _put_instructions_first(turns: list[Turn]) -> None:
    """Move instructions between the first question and its answer before the question. Claude Code sends a
    thousand tokens of them, the same in each session: behind the question, the prefix cache is of no use."""
    if [turn.role for turn in turns[:3]] in (["user", "system"], ["user", "system", "assistant"]):
        turns[:2] = reversed(turns[:2])


def _messages(turns: Sequence[Turn], hint: Hint) -> Iterator[Message]:
    unsealer = Unsealer()
    for turn in turns:
        for result in turn.results():
            yield Message.of("tool", _result_text(result), tool_call_id=result.tool_use_id)
        parts = tuple(TextPart(text) for text in map(_text, turn.blocks) if text)
        calls = tuple(
            ToolCall(call.id, call.name, json.dumps(call.input, ensure_ascii=False)) for call in turn.calls()
        )
        reasoning = "\n".join(filter(None, _thoughts(turn, unsealer, hint)))
        if parts or calls or reasoning or not turn.results():
            yield Message(turn.role, parts, tool_calls=calls, reasoning=reasoning or None)


def _text(block: object) -> str:
    """The text that the model reads of a block; empty for calls, results and thoughts."""
    if isinstance(block, TextBlock):
        return block.text
    return (document_text(block) or "") if isinstance(block, DocumentBlock) else ""


def _result_text(result: ToolResultBlock) -> str:
    content = result.content or ""
    text = content if isinstance(content, str) else "\n".join(filter(None, map(_text, content)))
    return f"{_FAILED}{text}" if result.is_error else text


def _thoughts(turn: Turn, unsealer: Unsealer, hint: Hint) -> Iterator[str]:
    for block in turn.blocks:
        if isinstance(block, ThinkingBlock):
            if block.thinking and is_changed(block.thinking, block.signature):
                hint(f"A thinking block before messages.{turn.index} was changed; it is used as it is.")
            yield block.thinking or unsealer.read(block.signature)


# --- tools and thinking ---


def _declared(tools: Sequence[Tool]) -> tuple[DeclaredTool, ...]:
    if len({tool.name for tool in tools}) < len(tools):
        raise InvalidRequest("tools: Tool names must be unique.")
    return tuple(
        DeclaredTool(
            ToolSpec(tool.name, tool.description or "", json.dumps(tool.input_schema, ensure_ascii=False)),
            f"tools.{i}.input_schema",
            tool.input_schema,
        )
        for i, tool in enumerate(tools)
    )


def _tool_choice(request: PromptRequest) -> ToolChoice:
    choice, tools = request.tool_choice, request.tools or ()
    if choice is None or choice.type == "auto":
        return ANY_TOOL
    if choice.type == "none":
        return ToolChoice("none")
    if not tools:
        raise InvalidRequest("tool_choice: may only be specified while providing `tools`")
    if choice.type == "any":
        return ToolChoice("required")
    if choice.name not in {tool.name for tool in tools}:
        raise InvalidRequest(f"tool_choice: Tool '{echoed(choice.name or '')}' not found in provided tools")
    return ToolChoice("required", ((True, choice.name),), is_single=True)


def _effort(request: PromptRequest) -> str | None:
    """The effort of the reasoning, if there may be any."""
    thinking, config = request.thinking, request.output_config
    if thinking is None:
        return None
    if thinking.type == "disabled":
        return "none"
    return config.effort if config else None


def _thought_tokens(request: PromptRequest) -> int:
    """The limit of the reasoning; 0: none of its own."""
    thinking = request.thinking
    if thinking is None or thinking.type != "enabled":
        return 0
    if thinking.budget_tokens is None:
        raise InvalidRequest("thinking.budget_tokens: Field required")
    return thinking.budget_tokens

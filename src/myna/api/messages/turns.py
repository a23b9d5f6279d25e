"""The turns of a conversation: neighbours of the same role are one, and calls have results. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from myna.api.messages.blocks import (
    Block,
    DocumentBlock,
    ImageBlock,
    MessageParam,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    document_text,
)
from myna.core.errors import InvalidRequest

_ROLES: Final = {
    "tool_use": "assistant", "thinking": "assistant", "redacted_thinking": "assistant",
    "tool_result": "user", "image": "user", "document": "user",
}  # fmt: skip
_MAX_LISTED: Final = 8


@dataclass(slots=True)
class Turn:
    """Neighbouring messages of one role; `index` is the last one's."""

    role: str
    index: int
    blocks: list[Block] = field(default_factory=list)

    def calls(self) -> list[ToolUseBlock]:
        return [block for block in self.blocks if isinstance(block, ToolUseBlock)]

    def results(self) -> list[ToolResultBlock]:
        return [block for block in self.blocks if isinstance(block, ToolResultBlock)]


def turns_of(messages: Sequence[MessageParam]) -> list[Turn]:
    """The turns. Raises `InvalidRequest` for blocks that don't belong to their role, for images, and for
    calls and results that don't belong together."""
    if not messages:
        raise InvalidRequest("messages: at least one message is required")
    turns = list[Turn]()
    for index, message in enumerate(messages):
        blocks = _blocks(message)
        _check_blocks(index, message.role, blocks)
        if not blocks and not (index == len(messages) - 1 and message.role == "assistant"):
            raise InvalidRequest(
                f"messages.{index}: all messages must have non-empty content except for the optional final "
                "assistant message"
            )
        if not turns or turns[-1].role != message.role:
            turns.append(Turn(message.role, index))
        turns[-1].index = index
        turns[-1].blocks += blocks
    _check_calls(turns)
    return turns


def _blocks(message: MessageParam) -> list[Block]:
    if isinstance(message.content, str):
        return [TextBlock(type="text", text=message.content)] if message.content else []
    return list(message.content)


def _check_blocks(index: int, role: str, blocks: Sequence[Block]) -> None:
    for number, block in enumerate(blocks):
        place = f"messages.{index}.content.{number}"
        needed = _ROLES.get(block.type, role)
        if role != needed:
            raise InvalidRequest(f"{place}: `{block.type}` blocks can only be in `{needed}` messages")
        parts: Sequence[object] = (block,)
        if isinstance(block, ToolResultBlock) and isinstance(block.content, list):
            parts = block.content
        for part in parts:
            if isinstance(part, ImageBlock):
                raise InvalidRequest(f"{place}: this model can't read images")
            if isinstance(part, DocumentBlock) and document_text(part) is None:
                raise InvalidRequest(f"{place}: this model can only read documents of plain text")


def _check_calls(turns: Sequence[Turn]) -> None:
    """Each result belongs to a call of the turn before it, and each call has one in the turn after it."""
    unanswered = list[str]()
    for turn in turns:
        called = set(unanswered)
        answered = set[str]()
        for result in turn.results():
            if result.tool_use_id in answered:
                raise InvalidRequest(
                    f"messages.{turn.index}: each `tool_use` must have a single `tool_result`, but there are "
                    f"several with the id {result.tool_use_id}"
                )
            answered.add(result.tool_use_id)
            if result.tool_use_id not in called:
                raise InvalidRequest(
                    f"messages.{turn.index}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{result.tool_use_id}. Each `tool_result` block must have a corresponding `tool_use` "
                    "block in the previous message."
                )
        _reject_unanswered(turn.index, [id for id in unanswered if id not in answered])
        unanswered = [call.id for call in turn.calls()]
        if len(set(unanswered)) < len(unanswered):
            raise InvalidRequest(f"messages.{turn.index}: the ids of `tool_use` blocks must be unique")
    _reject_unanswered(turns[-1].index + 1, unanswered)


def _reject_unanswered(index: int, ids: Sequence[str]) -> None:
    if ids:
        raise InvalidRequest(
            f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately "
            f"after: {', '.join(ids[:_MAX_LISTED])}. Each `tool_use` block must have a corresponding "
            "`tool_result` block in the next message."
        )

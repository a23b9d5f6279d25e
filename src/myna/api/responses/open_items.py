"""An item of the output while it is generated, and as clients see it."""

from dataclasses import dataclass, field
from typing import Literal

from msgspec import UNSET

from myna.api.responses.shapes import (
    OutputCustomCall,
    OutputFunctionCall,
    OutputItem,
    OutputMessage,
    OutputReasoning,
    TextPart,
    ThoughtPart,
)
from myna.generation.json_parts import LazyArray
from myna.generation.logprobs import PackedLogprobs, per_slice, token_entry

Kind = Literal["message", "reasoning", "function_call", "custom_tool_call"]
Status = Literal["in_progress", "completed", "incomplete"]


@dataclass(slots=True)
class OpenItem:
    """`call_id`, `name` and `namespace` are a call's. `is_summary`: the thought is shown as its summary;
    `sealed` is its opaque token."""

    kind: Kind
    index: int
    id: str
    call_id: str = ""
    name: str = ""
    namespace: str | None = None
    is_summary: bool = False
    status: Status = "in_progress"
    texts: list[str] = field(default_factory=list)
    logprobs: PackedLogprobs = field(default_factory=PackedLogprobs)
    sealed: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def is_open(self) -> bool:
        return self.status == "in_progress"

    def begun(self) -> OutputItem:
        """The item as clients see it when it begins."""
        return OpenItem(
            self.kind, self.index, self.id, self.call_id, self.name, self.namespace, self.is_summary
        ).rendered()

    def rendered(self) -> OutputItem:
        """The item as clients see it now."""
        match self.kind:
            case "message":
                return OutputMessage(self.id, self.kind, self.status, self._text_parts(), "assistant")
            case "reasoning":
                return self._thought()
            case "function_call":
                return OutputFunctionCall(
                    self.id,
                    self.kind,
                    self.status,
                    self.text,
                    self.call_id,
                    self.name,
                    self.namespace or UNSET,
                )
            case "custom_tool_call":
                return OutputCustomCall(
                    self.id,
                    self.kind,
                    self.status,
                    self.call_id,
                    self.text,
                    self.name,
                    self.namespace or UNSET,
                )

    def _text_parts(self) -> list[TextPart]:
        if self.is_open:
            return []
        entries = LazyArray(self.logprobs, token_entry, per_slice(self.logprobs))
        return [TextPart("output_text", [], entries, self.text)]

    def _thought(self) -> OutputReasoning:
        kind = "summary_text" if self.is_summary else "reasoning_text"
        parts = [] if self.is_open else [ThoughtPart(kind, self.text)]
        content, summary = ([], parts) if self.is_summary else (parts, [])
        return OutputReasoning(self.id, self.kind, content, self.sealed or UNSET, summary)

"""The output of a response: folds the events of a generation into items, for streams and whole answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

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
from myna.core.events import ChoiceDone, Event, TextDelta, TokenLogprob
from myna.generation.json_parts import LazyArray
from myna.generation.logprobs import PackedLogprobs, per_slice, token_entry
from myna.generation.tool_parsing import ParsedPiece, ToolCallParser
from myna.generation.usage import UsageCounter
from myna.prompts.call_formats.base import CallArguments, CallReader, CallStarted, TextPiece
from myna.wire.ids import ItemIds, new_call_id
from myna.wire.response_items import PREFIXES

Kind = Literal["message", "reasoning", "function_call", "custom_tool_call"]


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What determines the output's form, besides the events. `reader` parses calls (None: there are none);
    `names` are the names and namespaces of tools by what the model sees. `is_summary`: thoughts are shown as
    their summary. `seal` makes the opaque token of a thought (None: it has none)."""

    ids: ItemIds
    reader: CallReader | None = None
    names: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    wants_logprobs: bool = False
    is_summary: bool = False
    seal: Callable[[str], str] | None = None


@dataclass(slots=True)
class OpenItem:
    """An item that is being generated, or has been."""

    kind: Kind
    index: int
    id: str
    call_id: str = ""
    name: str = ""
    namespace: str | None = None
    status: str = "in_progress"
    texts: list[str] = field(default_factory=list)
    logprobs: PackedLogprobs = field(default_factory=PackedLogprobs)
    sealed: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Added(NamedTuple):
    """An item begins."""

    item: OpenItem


class Grown(NamedTuple):
    """An item continues with that text, which is already in it."""

    item: OpenItem
    text: str
    entries: Sequence[TokenLogprob] = ()


class Closed(NamedTuple):
    """An item has ended."""

    item: OpenItem


Change = Added | Grown | Closed
NO_CHANGES: Final[list[Change]] = []


class Output:
    """The items of a response, one after another."""

    def __init__(self, spec: OutputSpec) -> None:
        self._spec = spec
        self._parser = ToolCallParser(spec.reader)
        self._held = ""  # white space that may precede a call
        self._held_entries: list[TokenLogprob] = []
        self.items: list[OpenItem] = []
        self.usage = UsageCounter()
        self.is_incomplete = False

    @property
    def current(self) -> OpenItem | None:
        """The item that is being generated."""
        return self.items[-1] if self.items and self.items[-1].status == "in_progress" else None

    @property
    def is_plain(self) -> bool:
        """Whether any text becomes text of the current message as it is."""
        return self._spec.reader is None and not self._spec.wants_logprobs

    @property
    def is_summary(self) -> bool:
        """Whether thoughts are shown as their summary."""
        return self._spec.is_summary

    def feed(self, event: Event) -> list[Change]:
        """Process the next event."""
        match event:
            case TextDelta(is_thought=True):
                return self._extend("reasoning", event.text)
            case TextDelta():
                return self._parsed(self._parser.feed(event.text, event.logprobs))
            case ChoiceDone():
                return self._end(event)
            case _:
                self.usage.feed(event)
                return NO_CHANGES

    def rendered(self, item: OpenItem) -> OutputItem:
        """The item as clients see it."""
        match item.kind:
            case "message":
                entries = LazyArray(item.logprobs, token_entry, per_slice(item.logprobs))
                content = [TextPart("output_text", [], entries, item.text)]
                if item.status == "in_progress":
                    content = []
                return OutputMessage(item.id, item.kind, item.status, content, "assistant")
            case "reasoning":
                return self._rendered_thought(item)
            case "function_call":
                return OutputFunctionCall(
                    item.id,
                    item.kind,
                    item.status,
                    item.text,
                    item.call_id,
                    item.name,
                    item.namespace or UNSET,
                )
            case "custom_tool_call":
                return OutputCustomCall(
                    item.id,
                    item.kind,
                    item.status,
                    item.call_id,
                    item.text,
                    item.name,
                    item.namespace or UNSET,
                )

    def _rendered_thought(self, item: OpenItem) -> OutputReasoning:
        content, summary = list[ThoughtPart](), list[ThoughtPart]()
        if item.status != "in_progress" and self._spec.is_summary:
            summary.append(ThoughtPart("summary_text", item.text))
        elif item.status != "in_progress":
            content.append(ThoughtPart("reasoning_text", item.text))
        return OutputReasoning(item.id, item.kind, content, item.sealed or UNSET, summary)

    def _parsed(self, parsed: Sequence[ParsedPiece]) -> list[Change]:
        changes: list[Change] = []
        for piece, entries in parsed:
            match piece:
                case TextPiece():
                    changes += self._text(piece.text, entries)
                case CallStarted():
                    self._held, self._held_entries = "", []
                    changes += [*self._close(), self._begin_call(piece)]
                case CallArguments():
                    changes += self._grow(self.items[-1], piece.text)
        return changes

    def _text(self, text: str, entries: Sequence[TokenLogprob]) -> list[Change]:
        """Text of a message; white space before it is held back, as a call may follow instead."""
        is_message = self.current is not None and self.current.kind == "message"
        if self._spec.reader is not None and not is_message:
            text, entries = self._held + text, [*self._held_entries, *entries]
            if not text.strip():
                self._held, self._held_entries = text, list(entries)
                return NO_CHANGES
            self._held, self._held_entries = "", []
        return self._extend("message", text, entries)

    def _extend(self, kind: Kind, text: str, entries: Sequence[TokenLogprob] = ()) -> list[Change]:
        """Continue the current item if it is of that kind; otherwise begin one."""
        current = self.current
        if current is not None and current.kind == kind:
            return self._grow(current, text, entries)
        changes = self._close()
        item = self._begin(OpenItem(kind, len(self.items), self._spec.ids.new(PREFIXES[kind])))
        return [*changes, Added(item), *self._grow(item, text, entries)]

    def _grow(self, item: OpenItem, text: str, entries: Sequence[TokenLogprob] = ()) -> list[Change]:
        if not self._spec.wants_logprobs:
            entries = ()
        if not text and not entries:
            return NO_CHANGES
        item.texts.append(text)
        item.logprobs.extend(entries)
        return [Grown(item, text, entries)]

    def _begin_call(self, call: CallStarted) -> Added:
        kind: Kind = "custom_tool_call" if call.is_custom else "function_call"
        name, namespace = self._spec.names.get(call.name, (call.name, None))
        id, index = self._spec.ids.new(PREFIXES[kind]), len(self.items)
        return Added(self._begin(OpenItem(kind, index, id, new_call_id(), name, namespace)))

    def _begin(self, item: OpenItem) -> OpenItem:
        self.items.append(item)
        return item

    def _close(self, status: str = "completed") -> list[Change]:
        """End the current item, if there is one."""
        item = self.current
        if item is None:
            return NO_CHANGES
        item.status = status
        if item.kind == "reasoning" and self._spec.seal is not None:
            item.sealed = self._spec.seal(item.text)
        return [Closed(item)]

    def _end(self, event: ChoiceDone) -> list[Change]:
        """End the last item; without any, there is an empty message."""
        changes = self._parsed(self._parser.end(event.reason))
        self.is_incomplete = event.reason == "length"
        has_answer = any(item.kind != "reasoning" for item in self.items)
        if self._held and not has_answer:
            changes = [*changes, *self._extend("message", self._held, self._held_entries)]
        elif not has_answer and not (self.is_incomplete and self.items):
            changes = [*changes, *self._extend("message", "")]
        is_cut = self.is_incomplete or self._parser.is_in_call
        return [*changes, *self._close("incomplete" if is_cut else "completed")]

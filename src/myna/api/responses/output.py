"""The output of a response: folds the events of a generation into items, for streams and whole answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from myna.api.responses.open_items import Kind, OpenItem, Status
from myna.core.events import ChoiceDone, Event, TextDelta, TokenLogprob
from myna.generation.tool_parsing import ParsedPiece, ToolCallParser
from myna.generation.usage import UsageCounter
from myna.prompts.call_formats.base import CallArguments, CallReader, CallStarted, TextPiece
from myna.wire.ids import ItemIds, new_call_id
from myna.wire.response_items import PREFIXES


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


class ItemAdded(NamedTuple):
    """An item begins."""

    item: OpenItem


class ItemDelta(NamedTuple):
    """An item continues with that text, which is already in it."""

    item: OpenItem
    text: str
    entries: Sequence[TokenLogprob] = ()


class ItemDone(NamedTuple):
    """An item has ended."""

    item: OpenItem


Change = ItemAdded | ItemDelta | ItemDone
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
        return self.items[-1] if self.items and self.items[-1].is_open else None

    @property
    def is_plain(self) -> bool:
        """Whether any text becomes text of the current message as it is."""
        return self._spec.reader is None and not self._spec.wants_logprobs

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
        id, is_summary = self._spec.ids.new(PREFIXES[kind]), self._spec.is_summary
        item = self._begin(OpenItem(kind, len(self.items), id, is_summary=is_summary))
        return [*changes, ItemAdded(item), *self._grow(item, text, entries)]

    def _grow(self, item: OpenItem, text: str, entries: Sequence[TokenLogprob] = ()) -> list[Change]:
        if not self._spec.wants_logprobs:
            entries = ()
        if not text and not entries:
            return NO_CHANGES
        item.texts.append(text)
        item.logprobs.extend(entries)
        return [ItemDelta(item, text, entries)]

    def _begin_call(self, call: CallStarted) -> ItemAdded:
        kind: Kind = "custom_tool_call" if call.is_custom else "function_call"
        name, namespace = self._spec.names.get(call.name, (call.name, None))
        id, index = self._spec.ids.new(PREFIXES[kind]), len(self.items)
        return ItemAdded(self._begin(OpenItem(kind, index, id, new_call_id(), name, namespace)))

    def _begin(self, item: OpenItem) -> OpenItem:
        self.items.append(item)
        return item

    def _close(self, status: Status = "completed") -> list[Change]:
        """End the current item, if there is one."""
        item = self.current
        if item is None:
            return NO_CHANGES
        item.status = status
        if item.kind == "reasoning" and self._spec.seal is not None:
            item.sealed = self._spec.seal(item.text)
        return [ItemDone(item)]

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

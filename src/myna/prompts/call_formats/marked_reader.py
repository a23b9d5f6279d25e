"""Splits an answer into plain text and the calls between a family's markers, incrementally."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from myna.core.conversation import ToolSpec
from myna.core.overlap import overlap
from myna.prompts.call_formats.base import (
    ArgumentsReader,
    ArgumentStyle,
    CallArguments,
    CallStarted,
    Piece,
    TextPiece,
)
from myna.prompts.call_formats.layout import Layout, Match
from myna.prompts.custom_input import InputReader

_State = Literal["text", "arguments", "raw", "after"]
_NOTHING: Final = Match()


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """One way to write calls. `trigger` begins the first call ("": the answer's first character that isn't
    white space does). `first` is all text up to the first call's arguments; what follows a call is `end` or,
    up to the arguments of the `next` one. `has_grammars`: it is also used for custom tools with a grammar."""

    trigger: str
    first: Layout
    next: Layout | None
    tail: Layout
    end: Layout
    has_grammars: bool = True


class _Heads:
    """Recognizes the heads of calls of the tools, up to their arguments."""

    def __init__(self, style: ArgumentStyle, tools: Mapping[str, ToolSpec]) -> None:
        self._openings = style.openings
        self._raw_head = Layout(style.raw_head)
        self._raw_gap = style.raw_head[len(style.raw_head.rstrip()) :]
        self._tools = tools

    def match(self, way: CallSyntax, layout: Layout, text: str, at: int) -> Match | None:
        """A call's head at that index, if it is of a tool there is, and its arguments begin as they must."""
        found = layout.match(text, at)
        if found is None or found.is_partial:
            return found
        tool = self._tools.get(found.name)
        if tool is None or (tool.kind == "grammar" and not way.has_grammars):
            return None
        if tool.kind == "grammar":
            return self._raw(text, found)
        rest = text[found.end :].lstrip()
        if any(rest.startswith(opening) for opening in self._openings) or not self._openings:
            return Match(len(text) - len(rest), found.name)
        return Match(is_partial=True) if any(text.startswith(rest) for text in self._openings) else None

    def _raw(self, text: str, head: Match) -> Match | None:
        """The head of a call whose input follows a grammar, up to the input's first character."""
        found = self._raw_head.match(text, head.end)
        if found is None or found.is_partial:
            return found
        has_gap = text.startswith(self._raw_gap, found.end)
        if not has_gap and len(text) == found.end:
            return Match(is_partial=True)
        return Match(found.end + (len(self._raw_gap) if has_gap else 0), head.name)


class MarkedReader:
    """A `CallReader`. Of several ways that fit, the first counts."""

    def __init__(self, ways: Sequence[CallSyntax], style: ArgumentStyle, tools: Iterable[ToolSpec]) -> None:
        self._ways = ways
        self._style = style
        self._tools = {tool.name: tool for tool in tools}
        self._heads = _Heads(style, self._tools)
        self._way = ways[0]
        self._state: _State = "text"
        self._pending = ""
        self._has_text = False
        self._num_calls = 0
        self._arguments: ArgumentsReader | None = None
        self._input: InputReader | None = None

    @property
    def is_in_call(self) -> bool:
        return self._state == "arguments"

    def feed(self, text: str) -> list[Piece]:
        self._pending += text
        pieces: list[Piece] = []
        steps = {
            "text": self._read_text,
            "arguments": self._read_arguments,
            "raw": self._read_raw,
            "after": self._read_after,
        }
        while self._pending and steps[self._state](pieces):
            pass
        return pieces

    def end(self, *, is_cut: bool = False) -> list[Piece]:
        pieces: list[Piece] = []
        if self._state == "after" and not (is_cut and self._next_head() is not None):
            self._skip_end()
        held, self._pending = self._pending, ""
        if is_cut:
            held = held[: self._find_beginning(held, 0)[0]]
        if self._state == "text" and (held.strip() or not self._num_calls):
            self._emit_text(held, pieces)
        return pieces

    def _read_text(self, pieces: list[Piece]) -> bool:
        """Read text up to a call. White space alone before a call is dropped."""
        text, start = self._pending, 0
        while True:
            at, ways = self._find_beginning(text, start)
            found = self._begin(at, ways)
            if found is not None:
                break
            start = at + 1  # not a call after all
        shown = text[:at]
        if self._has_text or shown.strip():
            self._emit_text(shown, pieces)
            self._pending = text[at:]
        if found is _NOTHING or found.is_partial:
            return False
        self._pending = text[found.end :]
        self._start_call(found.name, pieces)
        return True

    def _find_beginning(self, text: str, start: int) -> tuple[int, list[CallSyntax]]:
        """Where the first call from `start` on may begin, and in which ways; the end of the text if
        nowhere."""
        best, ways = len(text), list[CallSyntax]()
        for way in self._ways:
            if way.trigger:
                at = text.find(way.trigger, start)
                if at < 0:
                    at = max(start, len(text) - overlap(text, way.trigger))
            else:
                at = len(text) - len(text.lstrip())
                if start > at or self._has_text or self._num_calls:
                    continue
            if at < best:
                best, ways = at, []
            if at == best and at < len(text):
                ways.append(way)
        return best, ways

    def _begin(self, at: int, ways: list[CallSyntax]) -> Match | None:
        """The first of the ways that fit there: a whole head, or a partial one. `_NOTHING` at the end of the
        text, None if none fits."""
        if not ways:
            return _NOTHING
        partial = None
        for way in ways:
            found = self._heads.match(way, way.first, self._pending, at)
            if found is None:
                continue
            if not found.is_partial:
                self._way = way
                return found
            partial = found
        return partial

    def _emit_text(self, text: str, pieces: list[Piece]) -> None:
        if text:
            self._has_text = True
            pieces.append(TextPiece(text))

    def _start_call(self, name: str, pieces: list[Piece]) -> None:
        tool = self._tools[name]
        pieces.append(CallStarted(self._num_calls, name, tool.kind != "function"))
        self._input = InputReader() if tool.kind == "text" else None
        self._arguments = self._style.reader(tool)
        self._state = "raw" if tool.kind == "grammar" else "arguments"

    def _read_raw(self, pieces: list[Piece]) -> bool:
        """Read an input that follows a grammar: the rest of the answer."""
        pieces.append(CallArguments(self._num_calls, self._pending))
        self._pending = ""
        return False

    def _read_arguments(self, pieces: list[Piece]) -> bool:
        assert self._arguments is not None
        text, rest = self._arguments.feed(self._pending)
        if self._input is not None:
            text = self._input.feed(text)
        if text:
            pieces.append(CallArguments(self._num_calls, text))
        self._pending = rest or ""
        if rest is None:
            return False
        self._num_calls += 1
        self._state = "after"
        return True

    def _read_after(self, pieces: list[Piece]) -> bool:
        """Read what ends a call, and the next call's head or what ends all calls."""
        found = self._next_head()
        if found is not None:
            if found.is_partial:
                return False
            self._pending = self._pending[found.end :]
            self._start_call(found.name, pieces)
            return True
        return self._skip_end()

    def _next_head(self) -> Match | None:
        """The head of a call that directly follows the last one."""
        following = self._way.next
        return None if following is None else self._heads.match(self._way, following, self._pending, 0)

    def _skip_end(self) -> bool:
        """Skip what ends the calls, or the call; False if that needs more text."""
        for layout in (self._way.end, self._way.tail):
            found = layout.match(self._pending)
            if found is not None:
                if found.is_partial:
                    return False
                self._pending = self._pending[found.end :]
                break
        self._state = "text"
        return True

"""Parses tool calls from an answer incrementally: splits it into plain text and calls."""

import re
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from myna.core.conversation import ToolSpec
from myna.core.overlap import overlap
from myna.core.renderer import ToolFormat
from myna.prompts.custom_input import InputReader
from myna.prompts.tools import FENCE, RAW_HEAD


class TextPiece(msgspec.Struct, frozen=True):
    """Plain text of the answer."""

    text: str


class CallStarted(msgspec.Struct, frozen=True):
    """A call whose name is known; its arguments, or a custom tool's input, follow."""

    index: int
    name: str
    is_custom: bool = False


class CallArguments(msgspec.Struct, frozen=True):
    """The next piece of a call's arguments, the JSON exactly as the model wrote it, or of a custom tool's
    input as plain text."""

    index: int
    text: str


Piece = TextPiece | CallStarted | CallArguments
_State = Literal["text", "head", "arguments", "tail", "raw"]
_SPACE: Final = r"\s*"


class _Head:
    """Recognizes the text before a call's arguments from its first character on."""

    def __init__(self, before: str, arguments: str) -> None:
        atoms = [_SPACE, *(re.escape(char) for char in before.strip()), _SPACE, r"\{"]
        atoms += [_SPACE, *'"name"', _SPACE, ":", _SPACE, '"', r'(?P<name>[^"\\]*)', '"']
        atoms += [_SPACE, ",", _SPACE, *f'"{arguments}"', _SPACE, ":", _SPACE]
        beginning = ""
        for atom in reversed(atoms):
            beginning = f"(?:{atom}{beginning})?"
        self.whole = re.compile("".join(atoms) + r"(?=\{)")
        self.prefix = re.compile(beginning)


class CallReader:
    """Parses the answer of one choice. A call of an unknown tool is plain text."""

    def __init__(self, form: ToolFormat, tools: Iterable[ToolSpec]) -> None:
        self._form = form
        self._triggers = [trigger for trigger in (form.trigger, FENCE if form.is_loose else "") if trigger]
        self._tools = {tool.name: tool for tool in tools}
        self._input: InputReader | None = None
        self._first_head, self._next_head = _Head(form.before, form.arguments), _Head("", form.arguments)
        between = "".join(re.escape(word) + _SPACE for word in (form.between or "").split())
        self._between = re.compile(rf"\s*\}}\s*{between}") if form.between is not None else None
        # Without a trigger, only the beginning of the answer can be a call.
        self._state: _State = "head" if form.is_loose or not form.trigger else "text"
        self._opened = ""
        self._pending = ""
        self._has_text = False
        self._num_calls = 0
        self._scanner = _ObjectScanner()

    def feed(self, text: str) -> list[Piece]:
        """Add the next text of the answer."""
        self._pending += text
        pieces: list[Piece] = []
        steps = {
            "text": self._read_text,
            "head": self._read_head,
            "arguments": self._read_arguments,
            "tail": self._read_tail,
            "raw": self._read_raw,
        }
        while steps[self._state](pieces):
            pass
        return pieces

    def end(self) -> list[Piece]:
        """The answer has ended: return what was held back. A call that was cut off in its head is dropped."""
        pieces: list[Piece] = []
        held, self._pending = self._pending, ""
        if self._state == "tail":
            after = "```" if self._opened == FENCE else self._form.after.strip()
            held = held.strip().removeprefix("}").lstrip()
            held = "" if after.startswith(held) else held.removeprefix(after)
        elif self._state == "head":
            held = "" if self._num_calls else self._opened + held
        if held:
            pieces.append(TextPiece(held))
        return pieces

    def _read_text(self, pieces: list[Piece]) -> bool:
        """Read text up to a trigger. White space alone before a call is dropped."""
        text = self._pending
        found = [(text.find(trigger), trigger) for trigger in self._triggers if trigger in text]
        if found:
            at, self._opened = min(found)
            if text[:at].strip() or self._has_text:
                self._emit_text(text[:at], pieces)
            self._state, self._pending = "head", text[at + len(self._opened) :]
            return True
        shown = len(text) - max((overlap(text, trigger) for trigger in self._triggers), default=0)
        if self._has_text or text[:shown].strip():
            self._emit_text(text[:shown], pieces)
            self._pending = text[shown:]
        return False

    def _emit_text(self, text: str, pieces: list[Piece]) -> None:
        if text:
            self._has_text = True
            pieces.append(TextPiece(text))

    def _read_head(self, pieces: list[Piece]) -> bool:
        head = self._next_head if self._num_calls else self._first_head
        found = head.whole.match(self._pending)
        tool = self._tools.get(found["name"]) if found else None
        if found and tool and (tool.kind != "grammar" or self._opened == self._form.trigger):
            rest = self._pending[found.end() :]
            if tool.kind == "grammar" and len(rest) < len(RAW_HEAD) and RAW_HEAD.startswith(rest):
                return False
            return self._begin(tool, rest, pieces)
        if found or not head.prefix.fullmatch(self._pending):
            self._state = "text"
            self._emit_text(self._opened, pieces)
            return True
        return False

    def _begin(self, tool: ToolSpec, rest: str, pieces: list[Piece]) -> bool:
        pieces.append(CallStarted(self._num_calls, tool.name, tool.kind != "function"))
        self._input = InputReader() if tool.kind == "text" else None
        self._scanner = _ObjectScanner()
        is_raw = tool.kind == "grammar"
        self._state, self._pending = ("raw", rest.removeprefix(RAW_HEAD)) if is_raw else ("arguments", rest)
        return True

    def _read_raw(self, pieces: list[Piece]) -> bool:
        """Read an input that follows a grammar: the rest of the answer."""
        if self._pending:
            pieces.append(CallArguments(self._num_calls, self._pending))
            self._pending = ""
        return False

    def _read_arguments(self, pieces: list[Piece]) -> bool:
        end = self._scanner.find_end(self._pending)
        text = self._pending[:end]
        if text and self._input is not None:
            text = self._input.feed(text)
        if text:
            pieces.append(CallArguments(self._num_calls, text))
        if end is None:
            self._pending = ""
            return False
        self._num_calls += 1
        self._state, self._pending = "tail", self._pending[end:]
        return True

    def _read_tail(self, pieces: list[Piece]) -> bool:
        """Read the call's closing brace and the separator between calls; ignore everything after the last
        call."""
        can_follow = self._between is not None and self._opened == self._form.trigger
        found = self._between.match(self._pending) if self._between and can_follow else None
        if found is None:
            return False
        self._state, self._pending = "head", self._pending[found.end() :]
        return True


class _ObjectScanner:
    """Finds the end of a JSON object in streamed text."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._is_escaped = False

    def find_end(self, text: str) -> int | None:
        """The index after the object's last brace, or None if it isn't in this piece."""
        for i, char in enumerate(text):
            if self._in_string:
                if self._is_escaped:
                    self._is_escaped = False
                elif char == "\\":
                    self._is_escaped = True
                elif char == '"':
                    self._in_string = False
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return i + 1
        return None

"""Reads tool calls out of an answer while it is written: text in, what was said and called out."""

import re
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from myna.core.overlap import overlap
from myna.prompts.custom_input import InputReader
from myna.prompts.messages import ToolSpec
from myna.prompts.tools import FENCE, RAW_HEAD, ToolFormat


class Said(msgspec.Struct, frozen=True):
    """Plain text of the answer."""

    text: str


class CallBegun(msgspec.Struct, frozen=True):
    """A call's name is known; its arguments follow, or a custom tool's input."""

    index: int
    name: str
    is_custom: bool = False


class CallArguments(msgspec.Struct, frozen=True):
    """The next piece of a call's arguments: the model's own JSON, character by character; of a custom
    tool's input, the text itself."""

    index: int
    text: str


Piece = Said | CallBegun | CallArguments
_State = Literal["said", "head", "arguments", "tail", "raw"]
_SPACE: Final = r"\s*"


class _Head:
    """What stands before a call's arguments, recognised from its first character on."""

    def __init__(self, before: str, arguments: str) -> None:
        atoms = [_SPACE, *(re.escape(char) for char in before.strip()), _SPACE, r"\{"]
        atoms += [_SPACE, *'"name"', _SPACE, ":", _SPACE, '"', r'(?P<name>[^"\\]*)', '"']
        atoms += [_SPACE, ",", _SPACE, *f'"{arguments}"', _SPACE, ":", _SPACE]
        beginning = ""
        for atom in reversed(atoms):
            beginning = f"(?:{atom}{beginning})?"
        self.whole = re.compile("".join(atoms) + r"(?=\{)")
        self.beginning = re.compile(beginning)


class CallReader:
    """One choice's answer. A look-alike of none of the `tools`' calls is text."""

    def __init__(self, form: ToolFormat, tools: Iterable[ToolSpec]) -> None:
        self._form = form
        self._triggers = [trigger for trigger in (form.trigger, FENCE if form.is_loose else "") if trigger]
        self._tools = {tool.name: tool for tool in tools}
        self._input: InputReader | None = None
        self._first_head, self._next_head = _Head(form.before, form.arguments), _Head("", form.arguments)
        between = "".join(re.escape(word) + _SPACE for word in (form.between or "").split())
        self._between = re.compile(rf"\s*\}}\s*{between}") if form.between is not None else None
        # Without a trigger only the answer's beginning can be a call.
        self._state: _State = "head" if form.is_loose or not form.trigger else "said"
        self._opened = ""
        self._waiting = ""
        self._has_said = False
        self._num_calls = 0
        self._scanner = _ObjectScanner()

    def feed(self, text: str) -> list[Piece]:
        """The next of the answer's text."""
        self._waiting += text
        pieces: list[Piece] = []
        steps = {
            "said": self._read_said,
            "head": self._read_head,
            "arguments": self._read_arguments,
            "tail": self._read_tail,
            "raw": self._read_raw,
        }
        while steps[self._state](pieces):
            pass
        return pieces

    def end(self) -> list[Piece]:
        """The answer is over: what was held back. A call cut off in its head is dropped, as far as it
        is one."""
        pieces: list[Piece] = []
        held, self._waiting = self._waiting, ""
        if self._state == "tail":
            after = "```" if self._opened == FENCE else self._form.after.strip()
            held = held.strip().removeprefix("}").lstrip()
            held = "" if after.startswith(held) else held.removeprefix(after)
        elif self._state == "head":
            held = "" if self._num_calls else self._opened + held
        if held:
            pieces.append(Said(held))
        return pieces

    def _read_said(self, pieces: list[Piece]) -> bool:
        """Text up to a trigger. White space alone in front of a call is its layout, not something said."""
        text = self._waiting
        found = [(text.find(trigger), trigger) for trigger in self._triggers if trigger in text]
        if found:
            at, self._opened = min(found)
            if text[:at].strip() or self._has_said:
                self._say(text[:at], pieces)
            self._state, self._waiting = "head", text[at + len(self._opened) :]
            return True
        shown = len(text) - max((overlap(text, trigger) for trigger in self._triggers), default=0)
        if self._has_said or text[:shown].strip():
            self._say(text[:shown], pieces)
            self._waiting = text[shown:]
        return False

    def _say(self, text: str, pieces: list[Piece]) -> None:
        if text:
            self._has_said = True
            pieces.append(Said(text))

    def _read_head(self, pieces: list[Piece]) -> bool:
        head = self._next_head if self._num_calls else self._first_head
        found = head.whole.match(self._waiting)
        tool = self._tools.get(found["name"]) if found else None
        if found and tool and (tool.kind != "grammar" or self._opened == self._form.trigger):
            rest = self._waiting[found.end() :]
            if tool.kind == "grammar" and len(rest) < len(RAW_HEAD) and RAW_HEAD.startswith(rest):
                return False
            return self._begin(tool, rest, pieces)
        if found or not head.beginning.fullmatch(self._waiting):
            self._state = "said"
            self._say(self._opened, pieces)
            return True
        return False

    def _begin(self, tool: ToolSpec, rest: str, pieces: list[Piece]) -> bool:
        pieces.append(CallBegun(self._num_calls, tool.name, tool.kind != "function"))
        self._input = InputReader() if tool.kind == "text" else None
        self._scanner = _ObjectScanner()
        is_raw = tool.kind == "grammar"
        self._state, self._waiting = ("raw", rest.removeprefix(RAW_HEAD)) if is_raw else ("arguments", rest)
        return True

    def _read_raw(self, pieces: list[Piece]) -> bool:
        """An input that follows a grammar: all that is left of the answer."""
        if self._waiting:
            pieces.append(CallArguments(self._num_calls, self._waiting))
            self._waiting = ""
        return False

    def _read_arguments(self, pieces: list[Piece]) -> bool:
        end = self._scanner.find_end(self._waiting)
        text = self._waiting[:end]
        if text and self._input is not None:
            text = self._input.feed(text)
        if text:
            pieces.append(CallArguments(self._num_calls, text))
        if end is None:
            self._waiting = ""
            return False
        self._num_calls += 1
        self._state, self._waiting = "tail", self._waiting[end:]
        return True

    def _read_tail(self, pieces: list[Piece]) -> bool:
        """The call's own brace, then what stands between two calls; after the last nothing is said."""
        can_follow = self._between is not None and self._opened == self._form.trigger
        found = self._between.match(self._waiting) if self._between and can_follow else None
        if found is None:
            return False
        self._state, self._waiting = "head", self._waiting[found.end() :]
        return True


class _ObjectScanner:
    """Finds the end of a JSON object that comes in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._is_escaped = False

    def find_end(self, text: str) -> int | None:
        """The index behind the object's last brace, or None if it isn't in this piece."""
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

"""The interface of call formats: how a model family writes tool calls, forces their form, reads them."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from myna.core.conversation import ToolCall, ToolSpec
from myna.core.requests import CallMarks


class TextPiece(msgspec.Struct, frozen=True):
    """Plain text of the answer."""

    text: str


class CallStarted(msgspec.Struct, frozen=True):
    """A call whose name is known; its arguments, or a custom tool's input, follow."""

    index: int
    name: str
    is_custom: bool = False


class CallArguments(msgspec.Struct, frozen=True):
    """The next piece of a call's arguments as JSON text, or of a custom tool's input as plain text."""

    index: int
    text: str


Piece = TextPiece | CallStarted | CallArguments


class GrammarTool(Protocol):
    """A tool's name and its input: JSON of a schema, any text, or text of a grammar."""

    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def grammar(self) -> str: ...


class ArgumentsReader(Protocol):
    """Reads one call's arguments incrementally."""

    def feed(self, text: str) -> tuple[str, str | None]:
        """Add the next text; return the next part of the arguments' JSON and, once they have ended, the text
        that follows them."""
        ...


class ArgumentStyle(Protocol):
    """A syntax of arguments, whatever the markers around them."""

    @property
    def openings(self) -> Sequence[str]:
        """One of these texts always begins the arguments: otherwise what precedes them is not a call's
        head. Empty: any."""
        ...

    @property
    def literals(self) -> Sequence[str]:
        """Its fixed texts."""
        ...

    @property
    def raw_head(self) -> str:
        """What precedes a custom tool's input that follows a grammar and extends to the answer's end."""
        ...

    def write(self, arguments: str) -> str:
        """The arguments, given as JSON text, in this style, including what ends them."""
        ...

    def rules(self, name: str, tool: GrammarTool) -> str:
        """Lark rules of the tool's arguments, the first of which has that name; others begin with it."""
        ...

    def reader(self, tool: ToolSpec) -> ArgumentsReader: ...


class CallReader(Protocol):
    """Parses the answer of one choice incrementally; the pieces are the same however the text is split. A
    call of an unknown tool, or one that isn't well-formed, is plain text."""

    def feed(self, text: str) -> list[Piece]:
        """Add the next text of the answer."""
        ...

    def end(self, *, is_cut: bool = False) -> list[Piece]:
        """The answer has ended: return the text that was held back. If the answer `is_cut` off, that may be
        the beginning of a call, which is dropped."""
        ...

    @property
    def is_in_call(self) -> bool:
        """Whether the text so far ends within a call's arguments."""
        ...


class CallFormat(Protocol):
    """One family's way to write tool calls. Grammars are in llguidance's JSON format."""

    @property
    def name(self) -> str:
        """Identifies the format in `table.FORMATS`."""
        ...

    @property
    def marks(self) -> CallMarks:
        """Where a call may begin in an answer; the first of the texts is the family's own mark."""
        ...

    @property
    def literals(self) -> Sequence[str]:
        """The format's fixed texts: control tokens that occur in them are shown, so that they can be read."""
        ...

    def write(self, calls: Sequence[ToolCall]) -> str:
        """The calls as the model writes them, in one answer."""
        ...

    def grammar(
        self,
        tools: Sequence[GrammarTool],
        *,
        must_call: bool,
        is_parallel: bool,
        answer: dict[str, Any] | None = None,
    ) -> str:
        """Answers that call one of the tools (several times if `is_parallel`) or, unless `must_call`, are any
        text, or JSON of the schema `answer`."""
        ...

    def no_call_grammar(self) -> str:
        """Text without a call, for a model that sees tools but may call none."""
        ...

    def call_head(self, tool: GrammarTool) -> str:
        """The beginning of an answer whose first call is of that tool, up to its arguments."""
        ...

    def reader(self, tools: Iterable[ToolSpec], *, is_answer_json: bool = False) -> CallReader:
        """`is_answer_json`: an answer without a call is JSON that the request asked for."""
        ...

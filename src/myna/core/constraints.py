"""Constraints on an answer, as requested by the client. Each engine compiles them to its own form."""

from typing import Final, Literal

import msgspec

from myna.core.errors import InvalidRequest


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """The part of the request that a constraint comes from, for error messages: OpenAI's `param` and `code`;
    `subject` begins the message."""

    subject: str = ""
    param: str | None = None
    code: str | None = None

    def error(self, reason: str, kind: type[InvalidRequest] = InvalidRequest) -> InvalidRequest:
        """An error that says why this part can't be enforced."""
        message = f"{self.subject}: {reason}" if self.subject else reason
        return kind(message, param=self.param, code=self.code)


NOWHERE: Final = Origin()


class JsonSchema(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """JSON that conforms to `schema`, itself JSON text. Strict: enforced completely, or the request is
    rejected. Otherwise what an engine can't enforce is left to the model. `name` is the client's."""

    schema: str
    is_strict: bool = False
    name: str = ""
    origin: Origin = NOWHERE


class JsonObject(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Any JSON object."""


class Regex(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Text that fully matches the pattern."""

    pattern: str
    origin: Origin = NOWHERE


class TextChoice(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """One of these texts."""

    options: tuple[str, ...]


class LarkGrammar(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Text of a Lark grammar, whose first rule is `start`."""

    definition: str
    origin: Origin = NOWHERE


class AnyText(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Any text: for requests that only limit the length of the thought."""


class CallableTool(msgspec.Struct, frozen=True, array_like=True):
    """A tool that may be called. `parameters` is the JSON schema of its arguments, as text; "" for none.
    A custom tool takes a single text: any, or with `kind` grammar one that follows the Lark `grammar`."""

    name: str
    parameters: str = ""
    is_strict: bool = False
    kind: Literal["function", "text", "grammar"] = "function"
    grammar: str = ""
    origin: Origin = NOWHERE


class ToolCalls(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Calls of `tools` in the call format of that name (`prompts.call_formats.table.FORMATS`).

    `is_required`: the answer must be a call; with a single tool in `tools`, of that tool. Otherwise the
    answer may be text, or text before a call; if `answer` is given, an answer without a call must conform to
    it. `is_parallel`: there may be several calls."""

    format: str
    tools: tuple[CallableTool, ...]
    is_required: bool = False
    is_parallel: bool = True
    answer: JsonSchema | JsonObject | None = None


class NoToolCalls(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """Text without a call in that format: the prompt lists tools, but none may be called."""

    format: str


class FinalChannel(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """An answer in harmony's channels: any analysis, followed by a final message that `answer` constrains."""

    answer: JsonSchema | JsonObject | Regex | TextChoice | LarkGrammar | AnyText


Constraint = (
    JsonSchema
    | JsonObject
    | Regex
    | TextChoice
    | LarkGrammar
    | AnyText
    | ToolCalls
    | NoToolCalls
    | FinalChannel
)

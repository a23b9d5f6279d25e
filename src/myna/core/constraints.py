"""What an answer must follow, as the client asked for it. Each engine compiles it to its own form."""

from typing import Final, Literal

import msgspec

from myna.core.errors import InvalidRequest


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """The part of a client's request that a constraint was read from, for errors about it: `param` and `code`
    as OpenAI has them; `subject` begins the message."""

    subject: str = ""
    param: str | None = None
    code: str | None = None

    def fault(self, reason: str, kind: type[InvalidRequest] = InvalidRequest) -> InvalidRequest:
        """The error that says why this part can't be followed."""
        message = f"{self.subject}: {reason}" if self.subject else reason
        return kind(message, param=self.param, code=self.code)


NOWHERE: Final = Origin()


class JsonSchema(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """JSON that follows `schema`, itself JSON text. Strict: to the letter, or the request is refused.
    Otherwise what an engine can't enforce is left to the model. `name` is the client's."""

    schema: str
    is_strict: bool = False
    name: str = ""
    origin: Origin = NOWHERE


class JsonObject(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Any JSON object."""


class Regex(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A text that matches the pattern as a whole."""

    pattern: str
    origin: Origin = NOWHERE


class Choice(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """One of these texts."""

    options: tuple[str, ...]


class LarkGrammar(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A text of a Lark grammar, whose first rule is `start`."""

    definition: str
    origin: Origin = NOWHERE


class AnyText(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Anything: for requests whose thought must be cut at its longest."""


class CallableTool(msgspec.Struct, frozen=True, array_like=True):
    """A tool that may be called. `parameters` is the JSON schema of its arguments, as text; "" for none.
    A custom tool takes one text: any, or (`kind` grammar) one that follows `grammar`, in Lark."""

    name: str
    parameters: str = ""
    is_strict: bool = False
    kind: Literal["function", "text", "grammar"] = "function"
    grammar: str = ""
    origin: Origin = NOWHERE


class ToolCalls(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Calls of `tools` in the tool-call format of that name (`prompts.tools.FORMATS`).

    `is_required`: the answer is a call; of exactly one tool by its name where `tools` holds that one alone.
    Otherwise the answer may be text, or text before a call; where `answer` is given, it follows that if no
    tool is called. `is_parallel`: several calls may follow each other.
    """

    format: str
    tools: tuple[CallableTool, ...]
    is_required: bool = False
    is_parallel: bool = True
    answer: JsonSchema | JsonObject | None = None


class NoToolCalls(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """Text that isn't a call in that format: the prompt lists tools, none of which may be called."""

    format: str


Constraint = JsonSchema | JsonObject | Regex | Choice | LarkGrammar | AnyText | ToolCalls | NoToolCalls

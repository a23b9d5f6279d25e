"""The text side of a model: conversations and texts to tokens, and what is needed to read answers back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from myna.core.conversation import Message, ToolSpec

NO_SWITCHES: Final[Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """How a model family writes tool calls. A call is `{"name": …, <arguments>: …}`; around it stands what
    the family writes.

    `trigger` begins the calls and can't be the beginning of a plain answer; "" where an answer that is
    such an object is the call. `between` None: one call an answer. `is_loose`: small models of the
    family also write the bare object as their whole answer, or in a block of code.
    """

    name: str
    trigger: str
    before: str = ""
    between: str | None = None
    after: str = ""
    arguments: str = "arguments"
    is_loose: bool = False


class Thinking(msgspec.Struct, frozen=True):
    """How a model thinks before it answers, between the texts `begin` and `end`.

    `can_skip`: it can be asked not to think; `is_default`: it thinks unless asked not to; `is_open`: the
    prompt ends inside the thought; `has_effort`: the renderer takes a level of effort.
    """

    begin: str
    end: str
    can_skip: bool
    is_default: bool
    is_open: bool
    has_effort: bool

    @property
    def is_known(self) -> bool:
        """The model surely thinks when it is asked to: its template does more than leave out the thoughts
        of earlier answers."""
        return self.can_skip or self.is_open or self.has_effort


class Renderer(Protocol):
    """The text side of a loaded model. All methods block, some for long: call them in threads. They are
    thread-safe.

    A text may be any `str`. `parse_special` says whether a control token that is written out in it is that
    token; otherwise it is text like any other. In conversations, clients' texts never hold control tokens.
    """

    @property
    def has_chat_template(self) -> bool:
        """Whether the model was made for conversations. Without, `encode_chat` uses a plain template."""
        ...

    @property
    def template_id(self) -> str:
        """Differs whenever the same conversation could become other tokens."""
        ...

    @property
    def tool_format(self) -> ToolFormat:
        """How this model writes tool calls, and so how they are read."""
        ...

    @property
    def thinking(self) -> Thinking | None:
        """How this model thinks before it answers; None for one that doesn't."""
        ...

    @property
    def document_start(self) -> list[int]:
        """The tokens before each document in training, which an absent prompt stands for; may be empty."""
        ...

    def least_tokens(self, text: str) -> int:
        """A lower bound of the text's tokens, without reading it: refuses an absurd prompt at once."""
        ...

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokens of a raw prompt, after the begin-of-text token where the model wants it."""
        ...

    def encode_batch(self, texts: Sequence[str], *, parse_special: bool) -> list[list[int]]:
        """`encode` of each text."""
        ...

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        switches: Mapping[str, object] = NO_SWITCHES,
    ) -> list[int]:
        """Tokens of the conversation, up to where the answer begins. `switches` are more variables for the
        template. Raises `InvalidRequest` for a conversation that the model does not take."""
        ...

    def fim(self, prefix: str, suffix: str) -> list[int] | None:
        """Tokens that ask for the text between `prefix` and `suffix`; None where the model can't fill in."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of the tokens; bytes that are no whole character become U+FFFD."""
        ...

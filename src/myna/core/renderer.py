"""The interface of renderers: conversations and texts to tokens, and what is needed to parse answers."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from myna.core.conversation import Message, ToolSpec

Switches = Mapping[str, object]  # additional variables for a chat template
NO_SWITCHES: Final[Switches] = MappingProxyType({})


class Thinking(msgspec.Struct, frozen=True):
    """How a model thinks (reasons) before it answers, between the texts `begin` and `end`.

    `can_skip`: it can be asked not to think; `is_default`: it thinks by default; `is_open`: the prompt ends
    inside the thought. `answer` and `close` surround the answer, and `ending` follows it, if not empty;
    `is_harmony`: it consists of messages in channels.

    `think` and `skip` are variables of this template that ask for a thought or for none, besides the usual
    ones, `efforts` those for each level that it knows. `budget` is its variable for a number of tokens.
    """

    begin: str
    end: str
    can_skip: bool
    is_default: bool
    is_open: bool
    answer: str = ""
    close: str = ""
    is_harmony: bool = False
    think: Switches = {}
    skip: Switches = {}
    efforts: Mapping[str, Switches] = {}
    budget: str = ""
    ending: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the model is known to think when asked to: its template does more than remove the thoughts
        of earlier answers."""
        return self.can_skip or self.is_open or bool(self.efforts) or self.is_harmony


class Renderer(Protocol):
    """The text side of a loaded model. All methods are thread-safe and blocking, some for long: call them in
    threads.

    A text may be any `str`. `parse_special` says whether the text of a control token becomes that token or is
    ordinary text. In conversations, clients' texts never become control tokens.
    """

    @property
    def has_chat_template(self) -> bool:
        """Whether the model has a chat template. If not, `encode_chat` uses a plain one."""
        ...

    @property
    def template_id(self) -> str:
        """Changes whenever the same conversation could become different tokens."""
        ...

    @property
    def call_format(self) -> str:
        """How this model writes tool calls: a name in `prompts.call_formats.table.FORMATS`."""
        ...

    @property
    def thinking(self) -> Thinking | None:
        """How this model thinks before it answers; None if it doesn't."""
        ...

    @property
    def document_start(self) -> list[int]:
        """The tokens that begin each document in training, used for an absent prompt; may be empty."""
        ...

    def least_tokens(self, text: str) -> int:
        """A lower bound of the text's number of tokens, without tokenizing it: to reject huge prompts at
        once."""
        ...

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        """The tokens of a raw prompt, after a begin-of-text token if the model uses one."""
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
        prefill: str = "",
    ) -> list[int]:
        """The tokens of the conversation, up to where the answer begins, and of `prefill`, the beginning of
        the answer. `switches` are additional variables for the template. Raises `InvalidRequest` for a
        conversation that the model does not support."""
        ...

    def fim(self, prefix: str, suffix: str) -> list[int] | None:
        """The tokens of a fill-in-the-middle prompt; None if the model does not support it."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of the tokens; incomplete characters become U+FFFD."""
        ...

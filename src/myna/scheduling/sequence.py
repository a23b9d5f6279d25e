"""The scheduler's state per request and per sequence. Makes no decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from myna.core.errors import MynaError
from myna.core.events import Event
from myna.core.requests import GenerationRequest
from myna.decoding.choice_output import ChoiceOutput
from myna.decoding.output_processor import RequestOutput
from myna.decoding.sampling import ChoiceSampling, TokenBias
from myna.scheduling.ngram import NgramProposer, Ngrams

if TYPE_CHECKING:
    from myna.scheduling.kv_cache import CacheEntry


class RequestEvent(NamedTuple):
    """An event of request `number`, or the error that ended it."""

    number: int
    event: Event | MynaError


@dataclass(slots=True, eq=False)
class SequenceGroup:
    """One request and its sequences (`candidates`), one for each choice. `number` is the caller's id for it,
    `order` its arrival order."""

    number: int
    order: int
    request: GenerationRequest
    output: RequestOutput
    candidates: list[Sequence] = field(default_factory=list)
    is_prompt_done: bool = False
    cached_tokens: int = 0
    ngrams: Ngrams | None = None
    bias: TokenBias | None = field(init=False)

    def __post_init__(self) -> None:
        self.bias = TokenBias.of(self.request.sampling)


class Sequence:
    """One candidate of a request: its tokens (prompt first) and the `output` built from them."""

    __slots__ = (
        "blocks",
        "choice",
        "entry",
        "grammar",
        "group",
        "num_prompt",
        "output",
        "proposer",
        "sampling",
        "tokens",
    )

    def __init__(self, group: SequenceGroup, output: ChoiceOutput) -> None:
        request = group.request
        self.group = group
        self.choice = output.index
        self.output = output
        self.grammar = output.grammar
        self.tokens = list(request.prompt_tokens)
        self.num_prompt = len(self.tokens)
        self.sampling = ChoiceSampling(request.sampling, self.choice, group.output.num_logprobs, group.bias)
        self.proposer: NgramProposer | None = None
        self.entry: CacheEntry | None = None
        self.blocks: list[int] | None = None

    @property
    def num_generated(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def is_decoding(self) -> bool:
        """Whether only the last token, a generated one, still has to be computed."""
        entry = self.entry
        return entry is not None and self.num_prompt <= entry.computed == len(self.tokens) - 1

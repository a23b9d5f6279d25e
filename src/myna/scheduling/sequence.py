"""A request inside the scheduler: its candidates, and what of each the engine holds. Decides nothing."""

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
    """An event of the request with that number, or the error that ended it."""

    number: int
    what: Event | MynaError


@dataclass(slots=True, eq=False)
class SequenceGroup:
    """One request. `number` is the caller's short name for it, `order` its place in time."""

    number: int
    order: int
    request: GenerationRequest
    output: RequestOutput
    candidates: list[Sequence] = field(default_factory=list)
    is_prompt_done: bool = False
    cached_tokens: int = 0
    grams: Ngrams | None = None
    bias: TokenBias | None = field(init=False)

    def __post_init__(self) -> None:
        self.bias = TokenBias.of(self.request.sampling)


class Sequence:
    """One candidate of a request: its tokens, prompt first, and the `output` that is made of them."""

    __slots__ = (
        "blocks",
        "choice",
        "drafter",
        "entry",
        "grammar",
        "group",
        "num_prompt",
        "output",
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
        self.drafter: NgramProposer | None = None
        self.entry: CacheEntry | None = None
        self.blocks: list[int] | None = None

    @property
    def num_generated(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def is_decoding(self) -> bool:
        """Whether the engine holds all of it but its last token, and that one is of the answer."""
        entry = self.entry
        return entry is not None and self.num_prompt <= entry.computed == len(self.tokens) - 1

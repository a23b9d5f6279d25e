"""A request inside the scheduler: its candidates, and what of each the engine holds. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from myna.core.errors import MynaError
from myna.core.events import Event
from myna.core.requests import GenerationRequest
from myna.decoding.choice_output import ChoiceOutput
from myna.decoding.output_processor import RequestOutput
from myna.decoding.sampling import ChoiceSampling, TokenBias
from myna.scheduling.drafting import Drafter, Grams


class Told(NamedTuple):
    """An event of the request with that number, or the error that ended it."""

    number: int
    what: Event | MynaError


class Resident:
    """What the engine holds under one sequence id: the first `computed` of `tokens`.

    `tokens` is the owner's own growing list. `blocks` are the hashes under which the prefix index
    knows it; `salt` parts tenants.
    """

    __slots__ = ("blocks", "computed", "salt", "slot", "tokens")

    def __init__(self, slot: int, tokens: list[int], computed: int, salt: str, blocks: list[int]) -> None:
        self.slot = slot
        self.tokens = tokens
        self.computed = computed
        self.salt = salt
        self.blocks = blocks


@dataclass(slots=True, eq=False)
class Job:
    """One request. `number` is the caller's short name for it, `order` its place in time."""

    number: int
    order: int
    request: GenerationRequest
    output: RequestOutput
    candidates: list[Sequence] = field(default_factory=list)
    is_prompt_done: bool = False
    cached_tokens: int = 0
    grams: Grams | None = None
    bias: TokenBias | None = field(init=False)

    def __post_init__(self) -> None:
        self.bias = TokenBias.of(self.request.sampling)


class Sequence:
    """One candidate of a request: its tokens, prompt first, and the `output` that is made of them."""

    __slots__ = (
        "blocks",
        "choice",
        "drafter",
        "grammar",
        "job",
        "num_prompt",
        "output",
        "resident",
        "sampling",
        "tokens",
    )

    def __init__(self, job: Job, output: ChoiceOutput) -> None:
        request = job.request
        self.job = job
        self.choice = output.index
        self.output = output
        self.grammar = output.grammar
        self.tokens = list(request.prompt_tokens)
        self.num_prompt = len(self.tokens)
        self.sampling = ChoiceSampling(request.sampling, self.choice, job.output.num_logprobs, job.bias)
        self.drafter: Drafter | None = None
        self.resident: Resident | None = None
        self.blocks: list[int] | None = None

    @property
    def num_generated(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def is_decoding(self) -> bool:
        """Whether the engine holds all of it but its last token, and that one is of the answer."""
        resident = self.resident
        return resident is not None and self.num_prompt <= resident.computed == len(self.tokens) - 1

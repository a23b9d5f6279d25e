"""A request inside the scheduler: its candidates, and what of each the engine holds. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from myna.core.events import ChoiceDone, FinishReason, TextDelta, TokenLogprob
from myna.core.requests import GenerationRequest
from myna.decoding.detokenizing import ChoiceText
from myna.decoding.grammar import Grammar
from myna.decoding.sampling import ChoiceSampling, TokenBias
from myna.decoding.thinking import ThoughtText
from myna.scheduling.drafting import Drafter, Grams


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
    candidates: list[Sequence] = field(default_factory=list)
    is_prompt_done: bool = False
    cached_tokens: int = 0
    prompt_logprobs: list[TokenLogprob] = field(default_factory=list)
    num_ended: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    accepted_tokens: int = 0
    grams: Grams | None = None
    bias: TokenBias | None = field(init=False)

    def __post_init__(self) -> None:
        self.bias = TokenBias.of(self.request.sampling)

    @property
    def is_ranked(self) -> bool:
        """Whether candidates compete, so that nothing is shown before all have ended."""
        return self.request.best_of > self.request.num_choices


class Sequence:
    """One candidate of a request: its tokens, prompt first, and what was not yet told of them. It has a
    `thought` until that is over."""

    __slots__ = (
        "blocks",
        "choice",
        "drafter",
        "grammar",
        "held_logprobs",
        "job",
        "num_logprobs",
        "num_prompt",
        "num_untold",
        "reason",
        "resident",
        "sampling",
        "shown",
        "sum_logprob",
        "text",
        "thought",
        "tokens",
    )

    def __init__(
        self,
        job: Job,
        choice: int,
        text: ChoiceText,
        grammar: Grammar | None,
        thought: ThoughtText | None = None,
    ) -> None:
        request = job.request
        self.job = job
        self.choice = choice
        self.text = text
        self.grammar = grammar
        self.thought = thought
        self.tokens = list(request.prompt_tokens)
        self.num_prompt = len(self.tokens)
        num_logprobs = 0 if job.is_ranked and request.num_logprobs is None else request.num_logprobs
        self.sampling = ChoiceSampling(request.sampling, choice, num_logprobs, job.bias)
        self.drafter: Drafter | None = None
        self.resident: Resident | None = None
        self.blocks: list[int] | None = None
        self.reason: FinishReason | None = None
        self.num_untold = 0
        self.num_logprobs = 0
        self.sum_logprob = 0.0
        self.held_logprobs: list[TokenLogprob] = []
        self.shown: list[TextDelta | ChoiceDone] = []

    @property
    def num_generated(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def is_decoding(self) -> bool:
        """Whether the engine holds all of it but its last token, and that one is of the answer."""
        resident = self.resident
        return resident is not None and self.num_prompt <= resident.computed == len(self.tokens) - 1

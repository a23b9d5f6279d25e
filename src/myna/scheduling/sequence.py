"""The scheduler's state per request, per sequence and per slot of the KV cache. Makes no decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from myna.core.errors import MynaError
from myna.core.events import Event
from myna.core.requests import GenerationRequest
from myna.decoding.choice_output import ChoiceOutput, SampledLogprobs
from myna.decoding.output_processor import RequestOutput
from myna.decoding.sampling import ChoiceSampling, RequestSampling
from myna.scheduling.ngram import NgramProposer, Ngrams


class RequestEvent(NamedTuple):
    """An event of request `number`, or the error that ended it."""

    number: int
    event: Event | MynaError


class CacheEntry:
    """What the engine holds in one slot (sequence id): the KV of the first `computed` of `tokens`.

    `tokens` is the sequence's own growing list. `blocks` are the block hashes under which the prefix index
    lists the entry; tenants with different `salt`s share nothing.
    """

    __slots__ = ("blocks", "computed", "salt", "slot", "tokens")

    def __init__(self, slot: int, tokens: list[int], computed: int, salt: str, blocks: list[int]) -> None:
        self.slot = slot
        self.tokens = tokens
        self.computed = computed
        self.salt = salt
        self.blocks = blocks


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
    sampling: RequestSampling = field(init=False)

    def __post_init__(self) -> None:
        request = self.request
        self.sampling = RequestSampling(
            request.sampling,
            request.prompt_tokens,
            end_tokens=self.output.end_tokens,
            min_tokens=request.min_tokens,
        )

    def resume(self) -> list[Event]:
        """Put the candidates into the state after the tokens of the request's earlier run. Returns the events
        of these tokens."""
        self.is_prompt_done = True
        events: list[Event] = [self.output.prompt_done(0)]
        unknown = None if self.output.num_logprobs is None else SampledLogprobs(0.0)
        for sequence, tokens in zip(self.candidates, self.request.output_token_ids, strict=False):
            for token in tokens:
                sequence.tokens.append(token)
                sequence.sampling.accept(token)
                events += self.output.push(sequence.choice, token, unknown)
        return events


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
        self.sampling = ChoiceSampling(group.sampling, self.choice, group.output.num_logprobs)
        self.proposer: NgramProposer | None = None
        self.entry: CacheEntry | None = None
        self.blocks: list[int] | None = None

    @property
    def owner(self) -> str:
        return self.group.request.owner

    @property
    def priority(self) -> int:
        return self.group.request.priority

    @property
    def order(self) -> int:
        return self.group.order

    @property
    def num_generated(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def is_fork(self) -> bool:
        """Whether only its prompt is computed, which it shares with the other candidates."""
        entry = self.entry
        return entry is not None and entry.computed == self.num_prompt and len(self.group.candidates) > 1

    @property
    def is_decoding(self) -> bool:
        """Whether only the last token, a generated one, still has to be computed."""
        entry = self.entry
        return entry is not None and self.num_prompt <= entry.computed == len(self.tokens) - 1

"""The pure scheduler driven step by step over the fake engine, as the loop would, with its rules checked."""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np

from myna.core.errors import MynaError
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta
from myna.core.requests import GenerationRequest, Sampling
from myna.decoding.grammar import Grammars
from myna.decoding.sampling import sample, score
from myna.decoding.token_table import TokenTable
from myna.engines import fake
from myna.engines.base import BatchRow, Engine, KVCacheFull
from myna.engines.fake import FakeEngine
from myna.scheduling.batch import NOTHING_SAMPLED, Batch, InputBatch
from myna.scheduling.draft_model import DraftModel
from myna.scheduling.grammar_text import grammar_text
from myna.scheduling.scheduler import Scheduler
from myna.scheduling.sequence import RequestEvent

TOKEN_TABLE = TokenTable(fake.VOCABULARY, fake.VOCABULARY, frozenset({fake.END}))
GREEDY = Sampling(temperature=0)


def prompt(text: str) -> tuple[int, ...]:
    return tuple(fake.tokenize(text, parse_special=True))


def spoken(tokens: Sequence[int]) -> str:
    return b"".join(fake.VOCABULARY[token] for token in tokens).decode()


@dataclass
class Heard:
    """What a client received for one request."""

    events: list[Event] = field(default_factory=list)
    error: MynaError | None = None

    def text(self, choice: int = 0) -> str:
        return "".join(
            event.text for event in self.events if isinstance(event, TextDelta) and event.choice == choice
        )

    def num_tokens(self, choice: int = 0) -> int:
        return sum(
            event.num_tokens
            for event in self.events
            if isinstance(event, TextDelta | ChoiceDone) and event.choice == choice
        )

    @property
    def prompt_done(self) -> PromptDone:
        (done,) = (event for event in self.events if isinstance(event, PromptDone))
        return done

    @property
    def is_ended(self) -> bool:
        return self.error is not None or (bool(self.events) and isinstance(self.events[-1], Done))


class Driver:
    """A scheduler over any engine, and everyone who listens."""

    def __init__(
        self,
        engine: Engine,
        token_table: TokenTable,
        grammars: Grammars | None = None,
        draft_engine: Engine | None = None,
        clock: Callable[[], float] = float,
    ) -> None:
        """`clock` times the steps of a draft model."""
        self._engine = engine
        self._grammars = grammars
        self.draft_model: DraftModel | None = None
        self.draft_failures: list[Exception] = []
        if draft_engine is not None:
            self.draft_model = DraftModel(
                draft_engine, engine.info.vocab_size, nullcontext(), clock, self.draft_failures.append
            )
        self.scheduler = Scheduler(engine, token_table, self.draft_model)
        self.heard: dict[int, Heard] = {}
        self.rows: list[list[BatchRow]] = []
        self.num_out_of_room = 0
        self._input_batch = InputBatch()

    def add(self, request: GenerationRequest) -> int:
        number = len(self.heard)
        self.heard[number] = Heard()
        grammar = None
        if request.constraint is not None:
            assert self._grammars is not None
            grammar = self._grammars.compile(grammar_text(request.constraint))
        self._take(self.scheduler.add(number, request, grammar))
        return number

    def step(self, prompt_tokens: int = 512, num_decodes: int = sys.maxsize) -> Batch:
        batch = self.scheduler.schedule(prompt_tokens, num_decodes=num_decodes)
        assert batch.rows, "a scheduler with work has something to compute"
        try:
            logits = self._engine.forward(batch.rows).array
            assert len(logits) == batch.num_logits
            sampled = NOTHING_SAMPLED
            if batch.sampling_sequences:
                constrained, drafts = batch.constrained()
                masks = self._grammars.masks(constrained, drafts) if self._grammars and constrained else None
                assert masks is None or masks.any(axis=1).all(), "only what a grammar allows is guessed"
                sampled = sample(logits, self._input_batch.batch(batch, masks))
            scores = [
                score(
                    logits[part.first_row : part.first_row + len(part.targets)],
                    np.array(part.targets, np.int32),
                    part.sequence.group.request.num_prompt_logprobs or 0,
                )
                for part in batch.scored
            ]
        except KVCacheFull as error:
            self.num_out_of_room += 1
            self._input_batch.reset()
            told = [] if self.scheduler.make_room() else self.scheduler.isolate(batch, error)
        except RuntimeError as error:
            self._input_batch.reset()
            told = self.scheduler.isolate(batch, error)
        else:
            self.rows.append(batch.rows)
            told = self.scheduler.update(batch, sampled, scores)
        self._take(told)
        return batch

    def _take(self, told: list[RequestEvent]) -> None:
        for number, what in told:
            heard = self.heard[number]
            assert not heard.is_ended, "nothing follows the end"
            if isinstance(what, MynaError):
                heard.error = what
            else:
                heard.events.append(what)

    def run(self, prompt_tokens: int = 512, most_steps: int = 20_000) -> None:
        for _ in range(most_steps):
            if self.scheduler.is_idle:
                return
            self.step(prompt_tokens)
        raise AssertionError("the scheduler does not come to an end")

    def ask(self, request: GenerationRequest, prompt_tokens: int = 512) -> Heard:
        number = self.add(request)
        self.run(prompt_tokens)
        return self.heard[number]


class Model(Driver):
    """The same over the fake engine."""

    def __init__(
        self,
        kv_tokens: int = 4096,
        *,
        context_tokens: int = 4096,
        max_sequences: int = 64,
        prefix_cache_tokens: int | None = None,
        grammars: Grammars | None = None,
        draft_engine: FakeEngine | None = None,
        clock: Callable[[], float] = float,
    ) -> None:
        self.draft_engine = draft_engine
        self.engine = FakeEngine(context_tokens, kv_tokens, max_sequences)
        if prefix_cache_tokens is not None:
            self.engine.prefix_cache_tokens = prefix_cache_tokens
        super().__init__(self.engine, TOKEN_TABLE, grammars, draft_engine, clock)

"""Decides what each step computes and processes its results. Pure: no thread, clock, log or I/O."""

import sys
from collections.abc import Iterable, Iterator
from typing import Final

from myna.core.errors import ConstraintTooComplex, GenerationFailed, MynaError
from myna.core.events import Event
from myna.core.requests import GenerationRequest
from myna.decoding.grammar import Grammar
from myna.decoding.output_processor import RequestOutput
from myna.decoding.sampling import RowStatus, Sampled
from myna.decoding.token_table import TokenTable
from myna.scheduling.batch import Batch
from myna.scheduling.draft_model import DraftModel
from myna.scheduling.kv_cache import KVStorage
from myna.scheduling.logprobs import read_logprobs
from myna.scheduling.queues import RequestQueues
from myna.scheduling.sequence import RequestEvent, Sequence, SequenceGroup
from myna.scheduling.speculation import Speculation

_MAX_FORKS: Final = 16  # per step; 128 took as long as two steps of 128 sequences


class Scheduler:
    """Continuous batching over one engine's KV cache.

    `add` and `abort` at any time between steps; then `schedule`, the engine's `forward`, sampling, and
    `update`. If a step fails, call `make_room` or `isolate` instead of `update`. `queues` is public for
    statistics, `speculation.costs` for the observed step times.
    """

    def __init__(self, kv: KVStorage, token_table: TokenTable, draft_model: DraftModel | None = None) -> None:
        self._token_table = token_table
        self.queues = RequestQueues(kv)
        self.speculation = Speculation(self.queues.kv_cache, can_trim=kv.can_trim, draft_model=draft_model)
        self._suspects: list[Sequence] = []
        self._groups: dict[int, SequenceGroup] = {}
        self._num_added = 0

    @property
    def is_idle(self) -> bool:
        return not self._groups

    def add(
        self, number: int, request: GenerationRequest, grammar: Grammar | None = None
    ) -> list[RequestEvent]:
        """Add an admitted request (see `admission`) with its compiled constraint; `number` identifies it in
        the events of `update`. Returns the events of the tokens that an earlier run generated."""
        group = SequenceGroup(
            number, self._num_added, request, RequestOutput(request, self._token_table, grammar)
        )
        group.candidates = [Sequence(group, output) for output in group.output.choices]
        self._num_added += 1
        events: list[Event] = []
        waiting = group.candidates[:1]
        if any(request.output_token_ids):  # each candidate waits for its KV, like preempted ones
            events = group.resume()
            waiting = [sequence for sequence in group.candidates if sequence.output.reason is None]
        for sequence in waiting:
            self.queues.waiting.push(sequence)
        if waiting:
            self._groups[number] = group
        else:
            group.candidates = []  # breaks the reference cycle
        return [RequestEvent(number, event) for event in events]

    def abort(self, number: int) -> None:
        """Drop the request now; what it computed may be reused. Unknown numbers are ignored."""
        if group := self._groups.get(number):
            self._drop(group)

    def schedule(
        self,
        prompt_tokens: int,
        context_slope: float = 0.0,
        alone_tokens: int = 0,
        num_decodes: int = sys.maxsize,
    ) -> Batch:
        """The next step: one decode of every running sequence, as long as nobody else has to wait for it, and
        up to `prompt_tokens` of prompts, or `alone_tokens` if they are more and nothing decodes; less after a
        long context, where a token costs more: see `PrefillBudget.context_slope`. If several requests
        decode more than `num_decodes` sequences, those with many take turns."""
        batch, queues = Batch(context_slope=context_slope), self.queues
        if self._suspects:
            self._add_alone(batch, self._suspects[0], prompt_tokens)
            return batch
        queues.reserve_decodes()
        queues.rebalance()
        queues.waiting.charge_decodes()
        self._fill(batch, prompt_tokens, alone_tokens, num_decodes, is_background=False)
        if queues.waiting.num_background:
            share = queues.background_share(batch, prompt_tokens)
            if share.prompt_tokens:
                alone = alone_tokens if not batch.rows else 0
                self._fill(
                    batch, share.prompt_tokens, alone, sys.maxsize, decodes=share.decodes, is_background=True
                )
        return batch

    def update(self, batch: Batch, sampled: Sampled, scores: list[Sampled]) -> list[RequestEvent]:
        """Process the step's sampled tokens, one per draw. Returns the events for clients, in order."""
        out: list[RequestEvent] = []
        for row, sequence in zip(batch.rows, batch.sequences, strict=True):
            assert sequence.entry is not None
            sequence.entry.computed += len(row.tokens)
        if self._suspects:
            self._suspects = [suspect for suspect in self._suspects if not _is_computed(suspect)]
        for scored, score in zip(batch.scored, scores, strict=True):
            group = scored.sequence.group
            num_top = group.request.num_prompt_logprobs or 0
            group.output.add_prompt_logprobs(
                read_logprobs(score, index, num_top) for index in range(len(scored.targets))
            )
        for sequence in batch.forks:
            self.queues.fork(sequence)
        if batch.num_prompt_tokens:
            self._emit_prompts(batch, out)
        void = self._rollback(batch, sampled) if batch.drafts else frozenset[int]()
        self._take_tokens(batch, sampled, void, out)
        return out

    def make_room(self) -> bool:
        """The engine ran out of KV memory: evict a cached prefix or preempt a sequence. False if only one
        sequence is left, so that nothing can be freed."""
        return self.queues.kv_cache.evict_one() or self.queues.preempt_one()

    def isolate(self, batch: Batch, error: Exception) -> list[RequestEvent]:
        """The step raised `error`. If it had a single sequence, that one fails. Otherwise all are preempted,
        since their KV can't be trusted, and run again one at a time."""
        for sequence in batch.sequences:
            self.queues.preempt(sequence)
        if len(batch.sequences) > 1:
            self._suspects = list(batch.sequences)
            return []
        group = batch.sequences[0].group
        self._drop(group)
        return [RequestEvent(group.number, GenerationFailed(f"The engine failed on this request: {error}"))]

    def _fill(
        self,
        batch: Batch,
        prompt_tokens: int,
        alone_tokens: int,
        num_decodes: int,
        *,
        decodes: int | None = None,
        is_background: bool,
    ) -> None:
        """Add what is in the background, or all others; at most so many `decodes`."""
        queues, add_decode = self.queues, batch.add_decode
        running = queues.in_class(is_background=is_background, decodes=decodes)
        draft_of = self.speculation.propose(running).get
        skipped = queues.skip_decodes(running, num_decodes, is_background=is_background)
        ready = list(_without_most_forks(other for other in running if other not in skipped))
        unfinished = [other for other in ready if not add_decode(other, draft_of(other))]
        if unfinished or queues.waiting:
            most = prompt_tokens if batch.num_decodes else max(prompt_tokens, alone_tokens)
            queues.add_prompts(batch, unfinished, most, is_background=is_background)

    def _add_alone(self, batch: Batch, suspect: Sequence, prompt_tokens: int) -> None:
        if suspect not in self.queues.running:
            self.queues.start_alone(suspect)
        if not batch.add_decode(suspect):
            batch.add_prompt(suspect, prompt_tokens)

    def _emit_prompts(self, batch: Batch, out: list[RequestEvent]) -> None:
        for sequence in batch.sequences:
            group, entry = sequence.group, sequence.entry
            if group.is_prompt_done or entry is None or entry.computed < sequence.num_prompt:
                continue
            group.is_prompt_done = True
            out.append(RequestEvent(group.number, group.output.prompt_done(group.cached_tokens)))
            if group.request.max_tokens == 0:
                for candidate in group.candidates:
                    out += (
                        RequestEvent(group.number, event)
                        for event in group.output.finish(candidate.choice, "length")
                    )
                    self._end(candidate)

    def _rollback(self, batch: Batch, sampled: Sampled) -> frozenset[int]:
        """Verify the draft tokens: keep those that were sampled, roll back the others. Returns the draws that
        assumed a rejected token."""
        void: set[int] = set()
        for draft in batch.drafts:
            end = draft.first_draw + len(draft.tokens)
            drawn = sampled.tokens[draft.first_draw : end].tolist()
            num_accepted = next((i for i in range(len(drawn)) if drawn[i] != draft.tokens[i]), len(drawn))
            self.queues.kv_cache.rollback(draft.sequence, len(drawn) - num_accepted)
            void.update(range(draft.first_draw + num_accepted + 1, end + 1))
        return frozenset(void)

    def _take_tokens(
        self, batch: Batch, sampled: Sampled, void: frozenset[int], out: list[RequestEvent]
    ) -> None:
        groups, emit = self._groups, out.append
        for index, (token, sequence) in enumerate(
            zip(sampled.tokens.tolist(), batch.sampling_sequences, strict=True)
        ):
            group, choice = sequence.group, sequence.output
            number = group.number
            if number not in groups:
                continue  # another candidate of the request failed in this step, or all have ended
            if index in void or choice.reason is not None:
                continue
            if token < 0:
                self._drop(group)
                emit(RequestEvent(number, _no_token(sequence, RowStatus(int(sampled.status[index])))))
                continue
            sampling = sequence.sampling
            num_top = sampling.num_logprobs
            logprobs = read_logprobs(sampled, index, num_top) if num_top >= 0 else None
            sequence.tokens.append(token)
            sampling.accept(token)
            for event in group.output.push(sequence.choice, token, logprobs):
                emit(RequestEvent(number, event))
            if choice.reason is not None:
                self._end(sequence)

    def _end(self, sequence: Sequence) -> None:
        self.queues.finish(sequence)
        self.speculation.forget(sequence)
        group = sequence.group
        if group.output.is_finished:
            del self._groups[group.number]
            group.candidates = []  # breaks the reference cycle, so that memory is freed at once

    def _drop(self, group: SequenceGroup) -> None:
        del self._groups[group.number]
        self.queues.remove(group)
        for sequence in group.candidates:
            self.speculation.forget(sequence)
        self._suspects = [suspect for suspect in self._suspects if suspect.group is not group]
        group.candidates = []


def _without_most_forks(running: Iterable[Sequence]) -> Iterator[Sequence]:
    """The sequences, without most of those that still share their whole KV with others of their request. In
    its first decode, the engine copies a block for each, and later they all need new blocks in one step."""
    num_forks = 0
    for sequence in running:
        num_forks += sequence.is_fork
        if num_forks <= _MAX_FORKS or not sequence.is_fork:
            yield sequence


def _is_computed(sequence: Sequence) -> bool:
    return sequence.entry is not None and sequence.entry.computed == len(sequence.tokens)


def _no_token(sequence: Sequence, status: RowStatus) -> MynaError:
    grammar = sequence.grammar
    if grammar is not None and grammar.is_broken:
        return ConstraintTooComplex(
            f"The grammar became too complex after {sequence.num_generated} tokens: {grammar.error}"
        )
    if status is RowStatus.NOTHING_ALLOWED:
        return GenerationFailed("The constraint allows no next token.")
    return GenerationFailed("The model produced invalid (NaN or infinite) logits.")

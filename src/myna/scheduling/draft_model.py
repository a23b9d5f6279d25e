"""Drafts of a second, small model with the same vocabulary. Owns its KV cache; every further token is one
batch for all sequences. Its tokens are drawn with the same random numbers as the model's, so that they agree
more often than its most likely ones would. Pure but for its engine."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from myna.decoding.sampling import Draw, SamplingBatch, sample
from myna.decoding.sampling_batch import Floats
from myna.engines.base import BatchRow, Engine
from myna.scheduling.draft_rates import DraftRates
from myna.scheduling.kv_cache import BLOCK_TOKENS, KVCacheManager, block_hashes
from myna.scheduling.ngram import Proposal
from myna.scheduling.sequence import CacheEntry, Sequence
from myna.scheduling.step_costs import StepCosts, StepPlan

_MAX_TOKENS: Final = 8  # of a draft
_FEW_BEHIND: Final = 32  # tokens that are computed together with the first of a draft
# A sequence that is further behind catches up in chunks, which take about as long as the model's own step. It
# must have generated this part of what is missing, and be allowed as much: an answer is expected to become as
# long again.
_CHUNK: Final = 64
_PART: Final = 1 / 16
_NONE: Final = -1  # of a draw that found no token


@dataclass(slots=True, eq=False)
class _Draft:
    """What the draft model holds of a sequence: the `entry`, and `held` tokens in all, of which the last may
    be draft tokens. `tokens` are proposed after the sequence's first `start`."""

    entry: CacheEntry
    held: int
    start: int = 0
    tokens: list[int] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)


class DraftModel:
    """Proposes tokens for decoding sequences while that pays; `forget` each sequence that has ended. Answers
    don't depend on it: if its engine fails, they go on without."""

    def __init__(
        self,
        engine: Engine,
        vocab_size: int,
        step_lock: AbstractContextManager[object],
        clock: Callable[[], float],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """`vocab_size` is the model's, which may have fewer tokens than the draft model, or more. `step_lock`
        is held while the engine computes, `clock` times that, and `on_failure` is called at most once."""
        self._engine = engine
        self._vocab_size = vocab_size
        self._step_lock = step_lock
        self._clock = clock
        self._on_failure = on_failure
        self.kv_cache: Final = KVCacheManager(engine)
        self._drafts: dict[Sequence, _Draft] = {}
        self.has_failed = False
        self.rates: Final = DraftRates()

    def promise(
        self, sequence: Sequence, plan: StepPlan, slope: float, limit: int, num_sharing: int
    ) -> float:
        """How many more tokens a draft for the sequence is expected to yield than the step would without it,
        in the same time; `num_sharing` sequences share the draft model's steps."""
        cost = self.rates.cost / num_sharing + slope
        promised = self.rates.promise(plan, cost, min(limit, _MAX_TOKENS))
        if not promised:
            self.rates.forget()
        return promised if promised and not self.has_failed and self._can_follow(sequence, limit) else 0.0

    def propose(
        self, limits: Mapping[Sequence, int], plan: StepPlan, costs: StepCosts
    ) -> dict[Sequence, Proposal]:
        """Drafts for these sequences, of at most that many tokens; empty or shorter where more doesn't pay,
        or while the draft model still computes what they contain. `plan` is the step without them."""
        try:
            return self._propose(limits, replace(plan), costs)
        except Exception as error:
            self.has_failed = True
            self._on_failure(error)
            return {}

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended. What was computed of it may be reused."""
        draft = self._drafts.pop(sequence, None)
        if draft is not None and not self.has_failed:
            self._compare(sequence, draft)
            self.kv_cache.index.drop(draft.entry)
            self.kv_cache.keep(draft.entry)

    def _propose(
        self, limits: Mapping[Sequence, int], plan: StepPlan, costs: StepCosts
    ) -> dict[Sequence, Proposal]:
        drafting = {one: self._current(one, draft) for one in limits if (draft := self._drafts.get(one))}
        behind = [one for one, draft in drafting.items() if len(one.tokens) - draft.held > _FEW_BEHIND]
        if behind:
            self._catch_up(behind[0], drafting[behind[0]])
        elif len(drafting) < len(limits):
            # One at a time: the next candidate of a request can then share its prompt.
            self._open(next(one for one in limits if one not in drafting))
        active = {sequence: 1.0 for sequence in drafting if sequence not in behind}
        while active := self._worthwhile(active, plan, costs.slope):
            if not self._extend({sequence: drafting[sequence] for sequence in active}, costs):
                break
            active = {
                sequence: active[sequence] * self.rates.acceptance(drafting[sequence].confidences[-1])
                for sequence in active
                if _goes_on(sequence, drafting[sequence], limits[sequence])
            }
        return {sequence: self._proposal(draft) for sequence, draft in drafting.items()}

    def _can_follow(self, sequence: Sequence, limit: int) -> bool:
        """Whether the draft model can know the whole sequence at a cost that may pay off."""
        if len(sequence.tokens) + _MAX_TOKENS >= self._engine.info.context_tokens:
            return False
        if sequence.grammar is not None and sequence.grammar.thought is not None:
            return False  # what the grammar allows isn't known within a thought
        if draft := self._drafts.get(sequence):
            num_known = draft.held
        else:
            match = self.kv_cache.find(sequence)
            num_known = match.ready if match else 0
        num_behind = len(sequence.tokens) - num_known
        return num_behind <= _FEW_BEHIND or min(sequence.num_generated, limit) >= _PART * num_behind

    def _current(self, sequence: Sequence, draft: _Draft) -> _Draft:
        """The draft, which holds nothing but tokens of the sequence now, and not the last one."""
        self._compare(sequence, draft)
        return draft

    def _open(self, sequence: Sequence) -> None:
        """Share what is computed of it. While it runs, others can share its prompt."""
        request = sequence.group.request
        entry = self.kv_cache.open_entry(sequence.tokens, request.cache_salt, 1)
        if entry is not None:
            entry.blocks = block_hashes(request.prompt_tokens, request.cache_salt)
            self.kv_cache.index.put(entry)
            self._drafts[sequence] = _Draft(entry, entry.computed)

    def _compare(self, sequence: Sequence, draft: _Draft) -> None:
        """Compare the draft with what was generated, and drop what was rejected from the KV cache."""
        generated = sequence.tokens[draft.start : draft.start + len(draft.tokens)]
        num_right = 0
        for index, (token, right) in enumerate(zip(draft.tokens, generated, strict=False)):
            is_right = token == right
            self.rates.compare(draft.confidences[index], is_first=not index, is_right=is_right)
            if not is_right:
                break
            num_right += 1
        known = draft.start + num_right if draft.tokens else draft.held
        draft.entry.computed = min(draft.held, known, len(sequence.tokens) - 1)
        if draft.entry.computed < draft.held:
            self._engine.trim(draft.entry.slot, draft.entry.computed)
            draft.held = draft.entry.computed
        draft.start, draft.tokens, draft.confidences = len(sequence.tokens), [], []

    def _worthwhile(
        self, active: Mapping[Sequence, float], plan: StepPlan, slope: float
    ) -> dict[Sequence, float]:
        """The sequences for which another token is worth a step of the draft model, by the probability that
        it will be reached; adds them to the plan."""
        rate = self.rates.rate
        chosen = {
            one: probability for one, probability in active.items() if plan.pays(probability * rate, slope)
        }
        tokens = rate * sum(chosen.values())
        cost = len(chosen) * slope + self.rates.cost * (1 + slope * (len(chosen) - 1))
        if not chosen or not plan.pays(tokens, cost, caution=1):
            return {}
        plan.add(tokens, cost)
        return chosen

    def _proposal(self, draft: _Draft) -> Proposal:
        """The tokens before one that couldn't be drawn."""
        tokens = draft.tokens[:-1] if draft.tokens[-1:] == [_NONE] else draft.tokens
        return Proposal(tokens, [self.rates.acceptance(one) for one in draft.confidences[: len(tokens)]])

    def _catch_up(self, sequence: Sequence, draft: _Draft) -> None:
        """Compute a chunk of what the sequence contains; no step waits longer for it."""
        tokens = sequence.tokens[draft.held : min(draft.held + _CHUNK, len(sequence.tokens) - 1)]
        if self._has_room(len(tokens), 1):
            with self._step_lock:
                self._engine.forward([self._row(draft, tokens, len(tokens))])
            draft.held += len(tokens)
            draft.entry.computed = draft.held

    def _extend(self, drafting: Mapping[Sequence, _Draft], costs: StepCosts) -> bool:
        """One more token for each of these drafts; False if there is no room."""
        rest = {draft: draft.tokens[-1:] or one.tokens[draft.held :] for one, draft in drafting.items()}
        rows = [self._row(draft, tokens, len(tokens) - 1) for draft, tokens in rest.items()]
        num_tokens = sum(len(row.tokens) for row in rows)
        if not self._has_room(num_tokens, len(rows)):
            return False
        started = self._clock()
        with self._step_lock:
            logits = self._engine.forward(rows).array
        tokens, confidences = _draw(logits[:, : self._vocab_size], drafting)
        if costs.seconds:
            seconds = (self._clock() - started) / costs.relative(num_tokens)
            self.rates.observe_cost(seconds / costs.seconds)
        for row, (sequence, draft), token, confidence in zip(
            rows, drafting.items(), tokens, confidences, strict=True
        ):
            draft.held += len(row.tokens)
            draft.entry.computed = min(draft.held, len(sequence.tokens))
            draft.tokens.append(token)
            draft.confidences.append(confidence)
        return True

    def _row(self, draft: _Draft, tokens: list[int], logits_from: int) -> BatchRow:
        """Tokens that the draft model doesn't have are unused ones."""
        size = self._engine.info.vocab_size
        if max(tokens) >= size:
            tokens = [min(token, size - 1) for token in tokens]
        return BatchRow(draft.entry.slot, tokens, draft.held, logits_from)

    def _has_room(self, num_tokens: int, num_rows: int) -> bool:
        """Each row may begin a block and copy another."""
        return self.kv_cache.has_room(num_tokens + 2 * num_rows * BLOCK_TOKENS)


def _goes_on(sequence: Sequence, draft: _Draft, limit: int) -> bool:
    is_last = draft.tokens[-1] == _NONE or draft.tokens[-1] in sequence.group.output.end_tokens
    return len(draft.tokens) < min(limit, _MAX_TOKENS) and not is_last


def _draw(logits: Floats, drafting: Mapping[Sequence, _Draft]) -> tuple[list[int], list[float]]:
    """Each sequence's next token, and the probability that the draft model gives it."""
    draws = [
        Draw(row, sequence.sampling.after(draft.tokens), sequence.num_generated + len(draft.tokens))
        for row, (sequence, draft) in enumerate(drafting.items())
    ]
    batch = replace(SamplingBatch.of(draws), num_logprobs=np.zeros(len(draws), np.int32))
    sampled = sample(logits, batch)
    return sampled.tokens.tolist(), np.exp(np.nan_to_num(sampled.logprobs, nan=-np.inf)).tolist()

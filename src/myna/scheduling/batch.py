"""The batch of one step: rows for the engine and inputs for the sampler."""

import math
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import numpy as np

from myna.decoding.grammar import Grammar
from myna.decoding.sampling import Draw, Sampled, SamplingBatch
from myna.decoding.sampling_batch import Bitmask
from myna.engines.base import BatchRow
from myna.scheduling.sequence import CacheEntry, Sequence

_MIN_CHUNK: Final = 16
TILE_ROWS: Final = 32  # of the engine's kernels: one row more costs as much as a whole tile
_MAX_SCORED: Final = 128  # prompt log-probabilities hold all logits of their rows: 78 MB for 152,000 tokens


@dataclass(slots=True)
class ScoredPrompt:
    """Prompt tokens whose log-probabilities the step computes: `targets`, from the logits' rows `first_row`,
    …."""

    sequence: Sequence
    first_row: int
    targets: list[int]


@dataclass(slots=True)
class Draft:
    """Draft `tokens` to verify after the sequence's last one. The sequence has one draw more than that, from
    `first_draw` on; each assumes that the draft tokens before it are accepted."""

    sequence: Sequence
    first_draw: int
    tokens: list[int]


@dataclass(slots=True)
class Batch:
    """One step: the engine's rows, in order, and which sequence samples from which row of the logits. A
    sequence with draft tokens samples from several consecutive rows."""

    rows: list[BatchRow] = field(default_factory=list)
    sequences: list[Sequence] = field(default_factory=list)
    sampling_sequences: list[Sequence] = field(default_factory=list)
    sampling_rows: list[int] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    scored: list[ScoredPrompt] = field(default_factory=list)
    forks: list[Sequence] = field(default_factory=list)
    num_logits: int = 0
    num_decodes: int = 0
    num_prompt_tokens: int = 0
    prompt_positions: float = 0.0  # the sum over the prompt tokens
    context_slope: float = 0.0

    @property
    def prompt_work(self) -> float:
        """The cost of the prompt tokens, in tokens without a context."""
        return self.num_prompt_tokens + self.context_slope * self.prompt_positions

    def add_decode(self, sequence: Sequence, draft: list[int] | None = None) -> bool:
        """Add the sequence's last token and its draft tokens; False if more than the last token is
        missing."""
        entry, tokens = sequence.entry, sequence.tokens
        assert entry is not None
        start = entry.computed
        if len(tokens) - start != 1 or sequence.num_prompt > start:
            return False
        if draft:
            self._add_draft(sequence, entry, draft)
            return True
        self.rows.append(BatchRow(entry.slot, tokens[start:], start, 0))
        self.sequences.append(sequence)
        self.sampling_sequences.append(sequence)
        self.sampling_rows.append(self.num_logits)
        self.num_logits += 1
        self.num_decodes += 1
        return True

    def add_prompt(self, sequence: Sequence, max_tokens: int) -> None:
        """Add the next uncomputed chunk of the sequence, as much as is `fitting`. The request's other
        candidates also sample from the prompt's last row."""
        entry, tokens = sequence.entry, sequence.tokens
        assert entry is not None
        group, start = sequence.group, entry.computed
        size = self.fitting(start, max_tokens)
        size = len(tokens) - start if size >= len(tokens) - start else size - self._partial_tile(size)
        is_scored = group.request.num_prompt_logprobs is not None and not group.is_prompt_done
        if is_scored:
            size = min(size, _MAX_SCORED)
        if size <= 0:
            return
        is_last = start + size == len(tokens)
        if is_scored:
            self._add_scores(sequence, start, size)
        logits_from = 0 if is_scored else size - is_last
        self.rows.append(BatchRow(entry.slot, tokens[start : start + size], start, logits_from))
        self.sequences.append(sequence)
        self.num_logits += size - logits_from
        self.num_prompt_tokens += size
        self.prompt_positions += size * (start + size / 2)
        if is_last and group.request.max_tokens > 0:
            siblings = [] if group.is_prompt_done else group.candidates[1:]
            self.forks += siblings
            self.sampling_sequences += [sequence, *siblings]
            self.sampling_rows += [self.num_logits - 1] * (1 + len(siblings))

    def fitting(self, start: int, max_tokens: int) -> int:
        """How many prompt tokens from `start` on keep the step's `prompt_work` within `max_tokens`. While
        there is room, at least one, and for the step's first prompt `_MIN_CHUNK`: it must proceed."""
        left, slope = max_tokens - self.prompt_work, self.context_slope
        if left <= 0 or not slope:
            return int(left)
        # The largest solution of slope / 2 * size ** 2 + first * size = left.
        first = 1 + slope * start
        size = int((math.sqrt(first * first + 2 * slope * left) - first) / slope)
        return max(size, 1 if self.num_prompt_tokens else min(max_tokens, _MIN_CHUNK))

    def _partial_tile(self, size: int) -> int:
        """How many of so many further rows are in a partial tile; none if there is no other."""
        before = self.num_decodes + self.num_prompt_tokens
        excess = (before + size) % TILE_ROWS
        return excess if excess < size else 0

    def _add_draft(self, sequence: Sequence, entry: CacheEntry, draft: list[int]) -> None:
        size = 1 + len(draft)
        self.drafts.append(Draft(sequence, len(self.sampling_sequences), draft))
        self.rows.append(BatchRow(entry.slot, [sequence.tokens[-1], *draft], entry.computed, 0))
        self.sequences.append(sequence)
        self.sampling_sequences += [sequence] * size
        self.sampling_rows += range(self.num_logits, self.num_logits + size)
        self.num_logits += size
        self.num_decodes += size

    def _add_scores(self, sequence: Sequence, start: int, size: int) -> None:
        """Logits at a position predict the next token. Positions scored before a preemption are skipped."""
        first = max(start, sequence.group.output.num_prompt_logprobs - 1)
        targets = sequence.tokens[first + 1 : start + size + 1]
        if targets:
            self.scored.append(ScoredPrompt(sequence, self.num_logits + first - start, targets))

    def assumed(self) -> dict[int, list[int]]:
        """By draw, the draft tokens it assumes to be accepted; draws that assume none are left out."""
        return {
            draft.first_draw + size: draft.tokens[:size]
            for draft in self.drafts
            for size in range(1, len(draft.tokens) + 1)
        }

    def constrained(self) -> tuple[list[Grammar], dict[int, list[int]]]:
        """The grammars of the sampling sequences, and the draft tokens by grammar index. The masks of draws
        are in this order."""
        if not self.drafts:
            return [
                sequence.grammar for sequence in self.sampling_sequences if sequence.grammar is not None
            ], {}
        drafted, later = {draft.first_draw: draft.tokens for draft in self.drafts}, self.assumed()
        grammars: list[Grammar] = []
        drafts: dict[int, list[int]] = {}
        for draw, sequence in enumerate(self.sampling_sequences):
            if sequence.grammar is not None and draw not in later:
                if draw in drafted:
                    drafts[len(grammars)] = drafted[draw]
                grammars.append(sequence.grammar)
        return grammars, drafts


_FEW: Final = 16
NOTHING_SAMPLED = Sampled.empty(0, 0)


class InputBatch:
    """Builds the sampler's input. Steady decoding repeats the same draws: then only `position` is advanced,
    in place."""

    __slots__ = ("_batch", "_next", "_rows", "_sampling_sequences")

    def __init__(self) -> None:
        self._sampling_sequences: list[Sequence] = []
        self._rows: list[int] = []
        self._batch: SamplingBatch | None = None
        self._next = -1

    def batch(self, step: Batch, masks: Bitmask | None = None) -> SamplingBatch:
        """Arrays for the step's draws, valid until the next call. `masks` has a row for each draw of a
        sequence with a grammar, in their order."""
        sampling_sequences, rows = step.sampling_sequences, step.sampling_rows
        first = sampling_sequences[0].num_generated
        batch = self._batch
        if (
            batch is not None
            and sampling_sequences == self._sampling_sequences
            and rows == self._rows
            and first == self._next
        ):
            self._next = first + 1
            self._advance(batch)
            return batch
        mask_rows = count()
        assumed = step.assumed() if step.drafts else {}
        draws = [
            Draw(
                row,
                sequence.sampling.after(assumed.get(index, ())),
                sequence.num_generated + len(assumed.get(index, ())),
                -1 if sequence.grammar is None else next(mask_rows),
            )
            for index, (row, sequence) in enumerate(zip(rows, sampling_sequences, strict=True))
        ]
        batch = SamplingBatch.of(draws, masks)
        is_steady = (
            masks is None
            and not assumed
            and all(sequence.sampling.is_steady(sequence.num_generated) for sequence in sampling_sequences)
        )
        self._batch = batch if is_steady else None
        self._sampling_sequences, self._rows, self._next = sampling_sequences, rows, first + 1
        return batch

    @staticmethod
    def _advance(batch: SamplingBatch) -> None:
        """A few are incremented one by one: after a step, numpy's code is no longer in the CPU caches."""
        position = batch.position
        if len(position) > _FEW:
            np.add(position, 1, out=position)
            return
        for index, value in enumerate(position.tolist()):
            position[index] = value + 1

    def reset(self) -> None:
        """The step failed: rebuild the arrays next time."""
        self._batch = None

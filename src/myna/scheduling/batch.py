"""What one step computes: rows for the engine, and the inputs of the sampler."""

from dataclasses import dataclass, field
from itertools import count
from typing import Final

import numpy as np

from myna.decoding.grammar import Grammar
from myna.decoding.sampling import Draw, Sampled, SamplingBatch
from myna.decoding.sampling_batch import Words
from myna.engines.base import Row
from myna.scheduling.kv_cache import CacheEntry
from myna.scheduling.sequence import Sequence

_MOST_SCORED: Final = 128  # prompt log-probabilities hold all logits of their rows: 78 MB for 152,000 tokens


@dataclass(slots=True)
class Scored:
    """Rows `first_row`, … of the logits tell the log-probabilities of `targets`, tokens of a prompt."""

    sequence: Sequence
    first_row: int
    targets: list[int]


@dataclass(slots=True)
class Guess:
    """`tokens` are checked after the sequence's last one: its draws are those from `first_draw` on, one
    more than the tokens, each as if the tokens before it were right."""

    sequence: Sequence
    first_draw: int
    tokens: list[int]


@dataclass(slots=True)
class Batch:
    """One step: rows for the engine, in order, and who draws from which row of the logits. A sequence whose
    tokens are guessed draws several times, in a row."""

    rows: list[Row] = field(default_factory=list)
    sequences: list[Sequence] = field(default_factory=list)
    sampling_sequences: list[Sequence] = field(default_factory=list)
    sampling_rows: list[int] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)
    forks: list[Sequence] = field(default_factory=list)
    num_logits: int = 0
    num_decodes: int = 0
    num_prompt_tokens: int = 0

    def add_decode(self, sequence: Sequence, guess: list[int] | None = None) -> bool:
        """The sequence's last token, if it alone is not computed, and what may follow it; else False."""
        entry, tokens = sequence.entry, sequence.tokens
        assert entry is not None
        start = entry.computed
        if len(tokens) - start != 1 or sequence.num_prompt > start:
            return False
        if guess:
            self._add_guess(sequence, entry, guess)
            return True
        self.rows.append(Row(entry.slot, tokens[start:], start, 0))
        self.sequences.append(sequence)
        self.sampling_sequences.append(sequence)
        self.sampling_rows.append(self.num_logits)
        self.num_logits += 1
        self.num_decodes += 1
        return True

    def add_prompt(self, sequence: Sequence, most_tokens: int) -> None:
        """The next chunk of what is not computed of the sequence, while the step's prompts stay within
        `most_tokens`. The request's other candidates draw beside it from the prompt's last row."""
        entry, tokens = sequence.entry, sequence.tokens
        assert entry is not None
        group, start = sequence.group, entry.computed
        size = min(len(tokens) - start, most_tokens - self.num_prompt_tokens)
        is_scored = group.request.num_prompt_logprobs is not None and not group.is_prompt_done
        if is_scored:
            size = min(size, _MOST_SCORED)
        if size <= 0:
            return
        is_last = start + size == len(tokens)
        if is_scored:
            self._add_scores(sequence, start, size)
        logits_from = 0 if is_scored else size - is_last
        self.rows.append(Row(entry.slot, tokens[start : start + size], start, logits_from))
        self.sequences.append(sequence)
        self.num_logits += size - logits_from
        self.num_prompt_tokens += size
        if is_last and group.request.max_tokens > 0:
            siblings = [] if group.is_prompt_done else group.candidates[1:]
            self.forks += siblings
            self.sampling_sequences += [sequence, *siblings]
            self.sampling_rows += [self.num_logits - 1] * (1 + len(siblings))

    def _add_guess(self, sequence: Sequence, entry: CacheEntry, guess: list[int]) -> None:
        size = 1 + len(guess)
        self.guesses.append(Guess(sequence, len(self.sampling_sequences), guess))
        self.rows.append(Row(entry.slot, [sequence.tokens[-1], *guess], entry.computed, 0))
        self.sequences.append(sequence)
        self.sampling_sequences += [sequence] * size
        self.sampling_rows += range(self.num_logits, self.num_logits + size)
        self.num_logits += size
        self.num_decodes += size

    def _add_scores(self, sequence: Sequence, start: int, size: int) -> None:
        """Logits at a position tell the next token; positions scored before a preemption are done."""
        first = max(start, sequence.group.output.num_prompt_logprobs - 1)
        targets = sequence.tokens[first + 1 : start + size + 1]
        if targets:
            self.scored.append(Scored(sequence, self.num_logits + first - start, targets))

    def assumed(self) -> dict[int, list[int]]:
        """By draw, the guessed tokens that it takes for granted; draws without any are not in it."""
        return {
            guess.first_draw + size: guess.tokens[:size]
            for guess in self.guesses
            for size in range(1, len(guess.tokens) + 1)
        }

    def bound(self) -> tuple[list[Grammar], dict[int, list[int]]]:
        """The grammars of those who draw, and by index what is guessed to follow; draws have their masks in
        this order."""
        if not self.guesses:
            return [
                sequence.grammar for sequence in self.sampling_sequences if sequence.grammar is not None
            ], {}
        guessed, later = {guess.first_draw: guess.tokens for guess in self.guesses}, self.assumed()
        grammars: list[Grammar] = []
        guesses: dict[int, list[int]] = {}
        for draw, sequence in enumerate(self.sampling_sequences):
            if sequence.grammar is not None and draw not in later:
                if draw in guessed:
                    guesses[len(grammars)] = guessed[draw]
                grammars.append(sequence.grammar)
        return grammars, guesses


_FEW: Final = 16
NOTHING_SAMPLED = Sampled.empty(0, 0)


class InputBatch:
    """Decoding repeats the same draws step after step; then only `position` moves on, in place."""

    __slots__ = ("_batch", "_next", "_rows", "_sampling_sequences")

    def __init__(self) -> None:
        self._sampling_sequences: list[Sequence] = []
        self._rows: list[int] = []
        self._batch: SamplingBatch | None = None
        self._next = -1

    def batch(self, step: Batch, masks: Words | None = None) -> SamplingBatch:
        """Arrays for the step's draws; valid until the next call. `masks` has a row for each draw of who has
        a grammar, in their order."""
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
        assumed = step.assumed() if step.guesses else {}
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
            and all(sequence.sampling.counts is None for sequence in sampling_sequences)
        )
        self._batch = batch if is_steady else None
        self._sampling_sequences, self._rows, self._next = sampling_sequences, rows, first + 1
        return batch

    @staticmethod
    def _advance(batch: SamplingBatch) -> None:
        """Few are counted up one by one: after a step, numpy's machinery is out of the caches."""
        position = batch.position
        if len(position) > _FEW:
            np.add(position, 1, out=position)
            return
        for index, value in enumerate(position.tolist()):
            position[index] = value + 1

    def forget(self) -> None:
        """The step came to nothing: its draws are made anew."""
        self._batch = None

"""What one step computes and who draws from it. Pure data; `scheduler` decides what goes in."""

from dataclasses import dataclass, field
from typing import Final

from myna.decoding.grammar import Grammar
from myna.engines.base import Row
from myna.scheduling.sequence import Resident, Sequence

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
    drawers: list[Sequence] = field(default_factory=list)
    draw_rows: list[int] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)
    births: list[Sequence] = field(default_factory=list)
    num_logits: int = 0
    num_decodes: int = 0
    num_prompt_tokens: int = 0

    def add_decode(self, sequence: Sequence, guess: list[int] | None = None) -> bool:
        """The sequence's last token, if it alone is not computed, and what may follow it; else False."""
        resident, tokens = sequence.resident, sequence.tokens
        assert resident is not None
        start = resident.computed
        if len(tokens) - start != 1 or sequence.num_prompt > start:
            return False
        if guess:
            self._add_guess(sequence, resident, guess)
            return True
        self.rows.append(Row(resident.slot, tokens[start:], start, 0))
        self.sequences.append(sequence)
        self.drawers.append(sequence)
        self.draw_rows.append(self.num_logits)
        self.num_logits += 1
        self.num_decodes += 1
        return True

    def add_prompt(self, sequence: Sequence, most_tokens: int) -> None:
        """The next chunk of what is not computed of the sequence, while the step's prompts stay within
        `most_tokens`. The request's other candidates draw beside it from the prompt's last row."""
        resident, tokens = sequence.resident, sequence.tokens
        assert resident is not None
        job, start = sequence.job, resident.computed
        size = min(len(tokens) - start, most_tokens - self.num_prompt_tokens)
        is_scored = job.request.num_prompt_logprobs is not None and not job.is_prompt_done
        if is_scored:
            size = min(size, _MOST_SCORED)
        if size <= 0:
            return
        is_last = start + size == len(tokens)
        if is_scored:
            self._add_scores(sequence, start, size)
        logits_from = 0 if is_scored else size - is_last
        self.rows.append(Row(resident.slot, tokens[start : start + size], start, logits_from))
        self.sequences.append(sequence)
        self.num_logits += size - logits_from
        self.num_prompt_tokens += size
        if is_last and job.request.max_tokens > 0:
            siblings = [] if job.is_prompt_done else job.candidates[1:]
            self.births += siblings
            self.drawers += [sequence, *siblings]
            self.draw_rows += [self.num_logits - 1] * (1 + len(siblings))

    def _add_guess(self, sequence: Sequence, resident: Resident, guess: list[int]) -> None:
        size = 1 + len(guess)
        self.guesses.append(Guess(sequence, len(self.drawers), guess))
        self.rows.append(Row(resident.slot, [sequence.tokens[-1], *guess], resident.computed, 0))
        self.sequences.append(sequence)
        self.drawers += [sequence] * size
        self.draw_rows += range(self.num_logits, self.num_logits + size)
        self.num_logits += size
        self.num_decodes += size

    def _add_scores(self, sequence: Sequence, start: int, size: int) -> None:
        """Logits at a position tell the next token; positions scored before a preemption are done."""
        first = max(start, sequence.job.output.num_prompt_logprobs - 1)
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
            return [sequence.grammar for sequence in self.drawers if sequence.grammar is not None], {}
        guessed, later = {guess.first_draw: guess.tokens for guess in self.guesses}, self.assumed()
        grammars: list[Grammar] = []
        guesses: dict[int, list[int]] = {}
        for draw, sequence in enumerate(self.drawers):
            if sequence.grammar is not None and draw not in later:
                if draw in guessed:
                    guesses[len(grammars)] = guessed[draw]
                grammars.append(sequence.grammar)
        return grammars, guesses

"""Which tokens are computed next, and what the answers mean. Pure: no thread, clock, log or I/O."""

from myna.core.errors import ConstraintTooComplex, GenerationFailed, MynaError
from myna.core.requests import GenerationRequest
from myna.decoding.grammar import Grammar
from myna.decoding.output_processor import RequestOutput
from myna.decoding.sampling import RowStatus, Sampled
from myna.decoding.token_table import TokenTable
from myna.scheduling.batches import Batch
from myna.scheduling.logprobs import read_logprobs
from myna.scheduling.residency import KeyValues
from myna.scheduling.roster import Roster
from myna.scheduling.sequence import Job, Sequence, Told
from myna.scheduling.speculation import Speculation


class Scheduler:
    """Continuous batching over one engine's KV room.

    `add` and `abort` at any time between steps; then `schedule`, the engine's `forward`, sampling, and
    `update`. `roster` is for whoever counts who runs, waits and holds room, `speculation.costs` for whoever
    knows how long steps take.
    A step that could not run is answered with `make_room` or `isolate` instead.
    """

    def __init__(self, kv: KeyValues, token_table: TokenTable) -> None:
        self._token_table = token_table
        self.roster = Roster(kv)
        self.speculation = Speculation(self.roster.residency, token_table.end_tokens, can_trim=kv.can_trim)
        self._suspects: list[Sequence] = []
        self._jobs: dict[int, Job] = {}
        self._num_added = 0

    @property
    def is_idle(self) -> bool:
        return not self._jobs

    def add(self, number: int, request: GenerationRequest, grammar: Grammar | None = None) -> None:
        """Take an admitted request (see `admission`), its constraint compiled; `number` names it in what
        `update` tells."""
        job = Job(number, self._num_added, request, RequestOutput(request, self._token_table, grammar))
        job.candidates = [Sequence(job, output) for output in job.output.choices]
        self._num_added += 1
        self._jobs[number] = job
        self.roster.queue.push(job.candidates[0])

    def abort(self, number: int) -> None:
        """Forget the request now; what it computed may still serve others. Unknown numbers are ignored."""
        if job := self._jobs.get(number):
            self._drop(job)

    def schedule(self, prompt_tokens: int) -> Batch:
        """The next step: every running answer's next token, and up to `prompt_tokens` of prompts."""
        batch, roster = Batch(), self.roster
        if self._suspects:
            self._add_alone(batch, self._suspects[0], prompt_tokens)
            return batch
        roster.secure_decodes()
        add_decode, guess_of = batch.add_decode, self.speculation.guess(roster.running).get
        for sequence in [other for other in roster.running if not add_decode(other, guess_of(other))]:
            batch.add_prompt(sequence, prompt_tokens)
        if batch.num_prompt_tokens < prompt_tokens and (roster.resumed or roster.queue):
            roster.admit(batch, prompt_tokens)
        return batch

    def update(self, batch: Batch, sampled: Sampled, scores: list[Sampled]) -> list[Told]:
        """Take what the step drew, a token a draw; what to tell clients, in order."""
        out: list[Told] = []
        for row, sequence in zip(batch.rows, batch.sequences, strict=True):
            assert sequence.resident is not None
            sequence.resident.computed += len(row.tokens)
        if self._suspects:
            self._suspects = [suspect for suspect in self._suspects if not _is_computed(suspect)]
        for scored, score in zip(batch.scored, scores, strict=True):
            job = scored.sequence.job
            num_top = job.request.num_prompt_logprobs or 0
            job.output.add_prompt_logprobs(
                read_logprobs(score, index, num_top) for index in range(len(scored.targets))
            )
        for sequence in batch.births:
            self.roster.bear(sequence)
        if batch.num_prompt_tokens:
            self._tell_prompts(batch, out)
        void = self._settle(batch, sampled) if batch.guesses else frozenset[int]()
        self._take_tokens(batch, sampled, void, out)
        return out

    def make_room(self) -> bool:
        """The engine was out of room: give up an idle donor or the youngest sequence. False: nothing to
        give up but the one that runs."""
        return self.roster.residency.evict_one() or self.roster.preempt_one()

    def isolate(self, batch: Batch, error: Exception) -> list[Told]:
        """The step raised `error`. One sequence alone is to blame; several run again one by one, since
        what the engine holds of them can't be trusted."""
        for sequence in batch.sequences:
            self.roster.preempt(sequence)
        if len(batch.sequences) > 1:
            self._suspects = list(batch.sequences)
            return []
        job = batch.sequences[0].job
        self._drop(job)
        return [Told(job.number, GenerationFailed(f"The engine failed on this request: {error}"))]

    def _add_alone(self, batch: Batch, suspect: Sequence, prompt_tokens: int) -> None:
        if suspect not in self.roster.running:
            self.roster.begin_alone(suspect)
        if not batch.add_decode(suspect):
            batch.add_prompt(suspect, prompt_tokens)

    def _tell_prompts(self, batch: Batch, out: list[Told]) -> None:
        for sequence in batch.sequences:
            job, resident = sequence.job, sequence.resident
            if job.is_prompt_done or resident is None or resident.computed < sequence.num_prompt:
                continue
            job.is_prompt_done = True
            out.append(Told(job.number, job.output.prompt_done(job.cached_tokens)))
            if job.request.max_tokens == 0:
                for candidate in job.candidates:
                    out += (
                        Told(job.number, event) for event in job.output.finish(candidate.choice, "length")
                    )
                    self._end(candidate)

    def _settle(self, batch: Batch, sampled: Sampled) -> frozenset[int]:
        """Keep of the guessed tokens those that were drawn; the draws that took others for granted are
        void."""
        void: set[int] = set()
        for guess in batch.guesses:
            end = guess.first_draw + len(guess.tokens)
            drawn = sampled.tokens[guess.first_draw : end].tolist()
            num_right = next((i for i in range(len(drawn)) if drawn[i] != guess.tokens[i]), len(drawn))
            self.roster.residency.settle(guess.sequence, len(drawn) - num_right)
            void.update(range(guess.first_draw + num_right + 1, end + 1))
        return frozenset(void)

    def _take_tokens(self, batch: Batch, sampled: Sampled, void: frozenset[int], out: list[Told]) -> None:
        jobs, tell = self._jobs, out.append
        for index, (token, sequence) in enumerate(zip(sampled.tokens.tolist(), batch.drawers, strict=True)):
            job, choice = sequence.job, sequence.output
            number = job.number
            if number not in jobs:
                continue  # another candidate of the request failed in this very step, or all have ended
            if index in void or choice.reason is not None:
                continue
            if token < 0:
                self._drop(job)
                tell(Told(number, _no_token(sequence, RowStatus(int(sampled.status[index])))))
                continue
            sampling = sequence.sampling
            num_top = sampling.num_logprobs
            logprobs = read_logprobs(sampled, index, num_top) if num_top >= 0 else None
            sequence.tokens.append(token)
            sampling.accept(token)
            for event in job.output.push(sequence.choice, token, logprobs):
                tell(Told(number, event))
            if choice.reason is not None:
                self._end(sequence)

    def _end(self, sequence: Sequence) -> None:
        self.roster.leave(sequence)
        job = sequence.job
        if job.output.is_finished:
            del self._jobs[job.number]
            job.candidates = []  # no cycle, so that nothing waits for the garbage collector

    def _drop(self, job: Job) -> None:
        del self._jobs[job.number]
        self.roster.remove(job)
        self._suspects = [suspect for suspect in self._suspects if suspect.job is not job]
        job.candidates = []


def _is_computed(sequence: Sequence) -> bool:
    return sequence.resident is not None and sequence.resident.computed == len(sequence.tokens)


def _no_token(sequence: Sequence, status: RowStatus) -> MynaError:
    grammar = sequence.grammar
    if grammar is not None and grammar.is_broken:
        return ConstraintTooComplex(
            f"The grammar became too complex after {sequence.num_generated} tokens: {grammar.error}"
        )
    if status is RowStatus.NOTHING_ALLOWED:
        return GenerationFailed("The constraint leaves no token that could come next.")
    return GenerationFailed("The model's arithmetic broke down: its logits are not numbers.")

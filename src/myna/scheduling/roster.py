"""Who runs, who was put aside and who waits. Moves sequences between the three; tells nobody."""

from myna.scheduling.batches import Batch
from myna.scheduling.queue import FairQueue
from myna.scheduling.residency import KeyValues, Residency
from myna.scheduling.sequence import Job, Sequence


class Roster:
    """`running` sequences have a place in the engine. `resumed` ones lost it to others (or found none
    free) and are served before the queue."""

    __slots__ = ("num_preempted", "queue", "residency", "resumed", "running")

    def __init__(self, kv: KeyValues) -> None:
        self.residency = Residency(kv)
        self.queue = FairQueue()
        self.resumed: list[Sequence] = []
        self.running: dict[Sequence, None] = {}
        self.num_preempted = 0

    def secure_decodes(self) -> None:
        """Make room for one more token of everyone who runs, fewer of them if need be."""
        while not self.residency.has_room(len(self.running)) and self.preempt_one():
            pass

    def admit(self, batch: Batch, most_tokens: int) -> None:
        """Begin waiting sequences while there is room for them and for their tokens in the step."""
        while self.resumed and batch.num_prompt_tokens < most_tokens:
            if not self.begin(self.resumed[0]):
                return
            batch.add_prompt(self.resumed.pop(0), most_tokens)
        deferred: list[Sequence] = []
        while batch.num_prompt_tokens < most_tokens and (sequence := self.queue.pop()):
            if self.residency.is_worth_waiting(sequence):
                deferred.append(sequence)
            elif self.begin(sequence):
                batch.add_prompt(sequence, most_tokens)
            else:
                deferred.append(sequence)
                break
        for sequence in reversed(deferred):
            self.queue.push_back(sequence)

    def begin(self, sequence: Sequence) -> bool:
        """Give a sequence its place, sharing what can be shared; False while there is no room."""
        committed = sum(
            len(other.tokens) - other.resident.computed for other in self.running if other.resident
        )
        if not self.residency.begin(sequence, committed, len(self.running)):
            return False
        job = sequence.job
        if not job.is_prompt_done and sequence.resident:
            job.cached_tokens = sequence.resident.computed
        self.running[sequence] = None
        return True

    def begin_alone(self, sequence: Sequence) -> None:
        """Give an aside sequence its place, whoever must leave for it."""
        while not self.begin(sequence):
            if not self.preempt_one(keep=0):
                raise AssertionError("an admitted request fits alone")
        self.resumed.remove(sequence)

    def bear(self, sequence: Sequence) -> None:
        """A candidate joins its first one after the prompt; without a free sequence id it waits."""
        if self.residency.fork(sequence.job.candidates[0], sequence):
            self.running[sequence] = None
        else:
            self.resumed.append(sequence)

    def preempt_one(self, keep: int = 1) -> bool:
        """Put the youngest of the least urgent aside; what it had is computed again later."""
        if len(self.running) <= keep:
            return False
        self.num_preempted += 1
        self.preempt(
            min(self.running, key=lambda other: (other.job.request.priority, -other.job.order, -other.choice))
        )
        return True

    def preempt(self, sequence: Sequence) -> None:
        del self.running[sequence]
        self.residency.forget(sequence)
        self.resumed.append(sequence)
        self.resumed.sort(key=lambda other: (-other.job.request.priority, other.job.order, other.choice))

    def leave(self, sequence: Sequence) -> None:
        """The sequence ended, wherever it is; what it computed may still serve others."""
        if sequence in self.running:
            del self.running[sequence]
            self.residency.retire(sequence)
        elif sequence in self.resumed:
            self.resumed.remove(sequence)

    def remove(self, job: Job) -> None:
        """The request is over before its end."""
        for sequence in job.candidates:
            self.leave(sequence)
        if not job.is_prompt_done:
            self.queue.remove(job.candidates[0])

"""Decides which texts the next step turns into vectors. Pure: no thread, clock, log or I/O."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from myna.core.errors import GenerationFailed
from myna.core.events import Done, Embedded, PromptDone
from myna.core.generator import ModelInfo
from myna.core.requests import EmbeddingRequest
from myna.scheduling.fair_queue import FairQueue, Share, rank
from myna.scheduling.sequence import RequestEvent

Text = tuple[int, ...]


@dataclass(slots=True, eq=False)
class Job:
    """One request, of whose inputs the first `num_done` have their vectors. `number` is the caller's id for
    it, `order` its order of arrival."""

    number: int
    order: int
    request: EmbeddingRequest
    num_done: int = 0
    choice: int = 0

    @property
    def owner(self) -> str:
        return self.request.owner

    @property
    def priority(self) -> int:
        return self.request.priority


@dataclass(slots=True)
class EmbeddingBatch:
    """One step: `texts` for the engine, and which of them belong to each job, in the job's order."""

    texts: list[Text] = field(default_factory=list)
    rows: dict[Job, list[int]] = field(default_factory=dict)
    num_tokens: int = 0

    def add(self, job: Job, text: Text) -> None:
        self.rows.setdefault(job, []).append(len(self.texts))
        self.texts.append(text)
        self.num_tokens += len(text)


class _Turn(NamedTuple):
    """A share's place in the order of a step, and its texts."""

    is_background: bool
    served: float
    rank: tuple[int, int, int]
    share: Share[Job]
    texts: Iterator[tuple[Job, Text]]


class EmbeddingScheduler:
    """`add` and `abort` at any time between steps; then `schedule`, the engine's `embed`, and `update`. If a
    step fails, call `isolate` instead of `update`.

    The owner that was served least is next, with the text of its most urgent, then oldest job; batches get
    what the others leave of a step. Texts aren't sorted by length, since engines don't pad.
    """

    def __init__(self, info: ModelInfo) -> None:
        self._info = info
        self._queue = FairQueue[Job]()
        self._jobs: dict[int, Job] = {}
        self._suspects: dict[Job, int] = {}  # after a failed step: how many texts of each to run alone
        self._num_added = 0

    @property
    def is_idle(self) -> bool:
        return not self._jobs

    @property
    def num_jobs(self) -> int:
        return len(self._jobs)

    @property
    def num_started(self) -> int:
        """How many jobs have some of their vectors."""
        return sum(job.num_done > 0 for job in self._jobs.values())

    def add(self, number: int, request: EmbeddingRequest) -> None:
        """Add an admitted request; `number` identifies it in the events of `update`."""
        job = self._jobs[number] = Job(number, self._num_added, request)
        self._num_added += 1
        self._queue.push(job)

    def abort(self, number: int) -> None:
        """Drop the request now. Unknown numbers are ignored."""
        if job := self._jobs.get(number):
            self._end(job)

    def schedule(self, max_tokens: int) -> EmbeddingBatch:
        """The next step: texts of up to `max_tokens` together, or the next one alone if it is longer."""
        batch, info = EmbeddingBatch(), self._info
        if self._suspects:
            job = next(iter(self._suspects))
            batch.add(job, job.request.inputs[job.num_done])
            return batch
        limit = min(max_tokens, info.kv_tokens)
        turns = [
            _Turn(share.is_background, share.served, rank(share.waiting[0]), share, _texts(share))
            for share in self._queue.shares()
        ]
        heapq.heapify(turns)
        while turns and len(batch.texts) < info.max_sequences:
            turn = turns[0]
            if (candidate := next(turn.texts, None)) is None:
                heapq.heappop(turns)
                continue
            job, text = candidate
            if batch.texts and batch.num_tokens + len(text) > limit:
                break  # no shorter text passes it
            batch.add(job, text)
            turn.share.charge(job, len(text))
            heapq.heapreplace(turns, turn._replace(served=turn.share.served))
        return batch

    def update(self, batch: EmbeddingBatch, vectors: npt.NDArray[np.float32]) -> list[RequestEvent]:
        """Process the step's vectors. Returns the events for clients, in order."""
        out: list[RequestEvent] = []
        for job, rows in batch.rows.items():
            own = vectors[rows]
            if not np.isfinite(own).all():
                self._end(job)
                error = GenerationFailed("The model produced invalid (NaN or infinite) vectors.")
                out.append(RequestEvent(job.number, error))
                continue
            if not job.num_done:
                out.append(RequestEvent(job.number, PromptDone(job.request.num_prompt_tokens, 0)))
            out.append(RequestEvent(job.number, Embedded(job.num_done, own.astype("<f4").tobytes())))
            job.num_done += len(rows)
            self._clear(job)
            if job.num_done == len(job.request.inputs):
                self._end(job)
                out.append(RequestEvent(job.number, Done(0)))
        return out

    def isolate(self, batch: EmbeddingBatch, error: Exception) -> list[RequestEvent]:
        """The step raised `error`. If it had a single text, that one's request fails; otherwise all of them
        are tried again, one at a time."""
        if len(batch.texts) > 1:
            self._suspects = {job: len(rows) for job, rows in batch.rows.items()}
            return []
        (job,) = batch.rows
        self._end(job)
        return [RequestEvent(job.number, GenerationFailed(f"The engine failed on this request: {error}"))]

    def _clear(self, job: Job) -> None:
        """A text of the job was computed alone."""
        if job in self._suspects:
            self._suspects[job] -= 1
            if not self._suspects[job]:
                del self._suspects[job]

    def _end(self, job: Job) -> None:
        del self._jobs[job.number]
        self._queue.remove(job)
        self._suspects.pop(job, None)


def _texts(share: Share[Job]) -> Iterator[tuple[Job, Text]]:
    for job in share.waiting:
        for text in job.request.inputs[job.num_done :]:
            yield job, text

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
class RequestState:
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
    """One step: `texts` for the engine, and which of them belong to each request, in the request's order."""

    texts: list[Text] = field(default_factory=list)
    rows: dict[RequestState, list[int]] = field(default_factory=dict)
    num_tokens: int = 0

    def add(self, state: RequestState, text: Text) -> None:
        self.rows.setdefault(state, []).append(len(self.texts))
        self.texts.append(text)
        self.num_tokens += len(text)


class _Turn(NamedTuple):
    """A share's place in the order of a step, and its texts."""

    is_background: bool
    served: float
    rank: tuple[int, int, int]
    share: Share[RequestState]
    texts: Iterator[tuple[RequestState, Text]]


class EmbeddingScheduler:
    """`add` and `abort` at any time between steps; then `schedule`, the engine's `embed`, and `update`. If a
    step fails, call `isolate` instead of `update`.

    The owner that was served least is next, with the text of its most urgent, then oldest request; batches
    get what the others leave of a step. Texts aren't sorted by length, since engines don't pad.
    """

    def __init__(self, info: ModelInfo) -> None:
        self._info = info
        self._queue = FairQueue[RequestState]()
        self._requests: dict[int, RequestState] = {}
        # After a failed step: how many texts of each to run alone.
        self._suspects: dict[RequestState, int] = {}
        self._num_added = 0

    @property
    def is_idle(self) -> bool:
        return not self._requests

    @property
    def num_jobs(self) -> int:
        return len(self._requests)

    @property
    def num_started(self) -> int:
        """How many requests have some of their vectors."""
        return sum(state.num_done > 0 for state in self._requests.values())

    def add(self, number: int, request: EmbeddingRequest) -> None:
        """Add an admitted request; `number` identifies it in the events of `update`."""
        state = self._requests[number] = RequestState(number, self._num_added, request)
        self._num_added += 1
        self._queue.push(state)

    def abort(self, number: int) -> None:
        """Drop the request now. Unknown numbers are ignored."""
        if state := self._requests.get(number):
            self._end(state)

    def schedule(self, max_tokens: int) -> EmbeddingBatch:
        """The next step: texts of up to `max_tokens` together, or the next one alone if it is longer."""
        batch, info = EmbeddingBatch(), self._info
        if self._suspects:
            state = next(iter(self._suspects))
            batch.add(state, state.request.inputs[state.num_done])
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
            state, text = candidate
            if batch.texts and batch.num_tokens + len(text) > limit:
                break  # no shorter text passes it
            batch.add(state, text)
            turn.share.charge(state, len(text))
            heapq.heapreplace(turns, turn._replace(served=turn.share.served))
        return batch

    def update(self, batch: EmbeddingBatch, vectors: npt.NDArray[np.float32]) -> list[RequestEvent]:
        """Process the step's vectors. Returns the events for clients, in order."""
        out: list[RequestEvent] = []
        for state, rows in batch.rows.items():
            own = vectors[rows]
            if not np.isfinite(own).all():
                self._end(state)
                error = GenerationFailed("The model produced invalid (NaN or infinite) vectors.")
                out.append(RequestEvent(state.number, error))
                continue
            if not state.num_done:
                out.append(RequestEvent(state.number, PromptDone(state.request.num_prompt_tokens, 0)))
            out.append(RequestEvent(state.number, Embedded(state.num_done, own.astype("<f4").tobytes())))
            state.num_done += len(rows)
            self._clear(state)
            if state.num_done == len(state.request.inputs):
                self._end(state)
                out.append(RequestEvent(state.number, Done(0)))
        return out

    def isolate(self, batch: EmbeddingBatch, error: Exception) -> list[RequestEvent]:
        """The step raised `error`. If it had a single text, that one's request fails; otherwise all of them
        are tried again, one at a time."""
        if len(batch.texts) > 1:
            self._suspects = {state: len(rows) for state, rows in batch.rows.items()}
            return []
        (state,) = batch.rows
        self._end(state)
        return [RequestEvent(state.number, GenerationFailed(f"The engine failed on this request: {error}"))]

    def _clear(self, state: RequestState) -> None:
        """A text of the request was computed alone."""
        if state in self._suspects:
            self._suspects[state] -= 1
            if not self._suspects[state]:
                del self._suspects[state]

    def _end(self, state: RequestState) -> None:
        del self._requests[state.number]
        self._queue.remove(state)
        self._suspects.pop(state, None)


def _texts(share: Share[RequestState]) -> Iterator[tuple[RequestState, Text]]:
    for state in share.waiting:
        for text in state.request.inputs[state.num_done :]:
            yield state, text

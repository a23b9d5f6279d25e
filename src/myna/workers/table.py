"""The unfinished requests of one worker: their streams, their admission, their reruns."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from myna.core.errors import EngineDead
from myna.core.events import Done, Event, PromptDone
from myna.core.generator import ModelInfo
from myna.core.requests import GenerationRequest, ModelRequest
from myna.core.translatable import N_
from myna.scheduling.admission import Admission, QueueLimits
from myna.scheduling.resuming import Diverged, SentEvents
from myna.scheduling.streams import RequestStream
from myna.workers.frames import Failure, Step

_MAX_RUNS: Final = 3  # a request that was running at this many deaths is considered their cause


class PendingRequest:
    """An unfinished request. `num_runs` counts how often it was sent to a worker. With `identity`, part of
    its answer was read, and it can only continue where arithmetic and weights are the same."""

    __slots__ = ("identity", "is_waiting", "num_runs", "request", "stream")

    def __init__(self, request: ModelRequest, stream: RequestStream) -> None:
        self.request = request
        self.stream = stream
        self.is_waiting = True  # no event has arrived yet
        self.num_runs = 0
        self.identity = ""


class RequestTable:
    """Requests by number. `entries` is in order of arrival. `resumes`: what broke off in the middle may go on
    elsewhere, so that what is read must be known."""

    __slots__ = ("_admission", "_last_number", "_on_abort", "_resumes", "entries")

    def __init__(
        self,
        limits: QueueLimits,
        on_abort: Callable[[int, PendingRequest], None],
        *,
        resumes: bool = False,
    ) -> None:
        self._resumes = resumes
        self._admission = Admission(limits)
        self._on_abort = on_abort
        self._last_number = 0
        self.entries: dict[int, PendingRequest] = {}

    def open(self, request: ModelRequest, info: ModelInfo) -> tuple[int, PendingRequest]:
        """Admit a request. Raises as `Admission.admit` does."""
        self._admission.admit(request, info)
        self._last_number = number = self._last_number + 1
        sent = None
        if self._resumes and isinstance(request, GenerationRequest) and not request.is_collected:
            sent, request = SentEvents(), msgspec.structs.replace(request, return_token_ids=True)
        stream = RequestStream(lambda: self._abort(number), is_held=request.is_collected, sent=sent)
        entry = self.entries[number] = PendingRequest(request, stream)
        return number, entry

    def dispatch(self, step: Step) -> None:
        """Pass each event to its request's stream."""
        entries = self.entries
        for number, event in step.events:
            entry = entries.get(number)
            if entry is None:
                continue  # aborted while the event was on its way
            if entry.is_waiting:
                entry.is_waiting = False
                self._admission.release(entry.request)
            if isinstance(event, Failure):
                del entries[number]
                entry.stream.fail(event.error())
                continue
            if type(event) is PromptDone and entry.stream.is_prompt_read:
                continue  # a rerun: its reader already has this event
            if entry.identity:
                self._resume(number, entry, event)
            else:
                entry.stream.push(event)
            if type(event) is Done:
                entries.pop(number, None)

    def requeue_or_fail(
        self, error: EngineDead, numbers: Iterable[int] | None = None, identity: str = ""
    ) -> list[int]:
        """After the death of what ran these requests (None: all): those whose text was not read run again,
        and so do the others if `identity` is not empty; the rest fails. Returns the numbers of those that run
        again."""
        again = []
        for number in list(self.entries if numbers is None else numbers):
            entry = self.entries.get(number)
            if entry is None:
                continue
            if entry.num_runs >= _MAX_RUNS or (entry.stream.is_text_read and not identity):
                self._end(number, error)
                continue
            entry.stream.rewind()
            sent, request = entry.stream.sent, entry.request
            if entry.stream.is_text_read and sent is not None and isinstance(request, GenerationRequest):
                entry.identity = identity
                entry.request = msgspec.structs.replace(request, output_token_ids=sent.token_ids())
            again.append(number)
        return again

    def _resume(self, number: int, entry: PendingRequest, event: Event) -> None:
        """Pass on what is new in an event of a rerun."""
        assert entry.stream.sent is not None
        try:
            rest = entry.stream.sent.rest(event)
        except Diverged:
            self._abort(number)
            entry.stream.fail(EngineDead(N_("The answer broke off and can't go on. Please try again.")))
            return
        if rest is not None:
            entry.stream.push(rest)

    def fail_all(self, error: EngineDead) -> None:
        for number in list(self.entries):
            self._end(number, error)

    def _abort(self, number: int) -> None:
        if entry := self._remove(number):
            self._on_abort(number, entry)

    def _end(self, number: int, error: EngineDead) -> None:
        if entry := self._remove(number):
            entry.stream.fail(error)

    def _remove(self, number: int) -> PendingRequest | None:
        entry = self.entries.pop(number, None)
        if entry is not None and entry.is_waiting:
            self._admission.release(entry.request)
        return entry

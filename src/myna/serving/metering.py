"""Counts the tokens of an event stream and reports them once, whatever ends it."""

from collections.abc import Callable

from myna.accounts.usage import Outcome, Usage
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta
from myna.core.generator import EventStream


class Metered:
    """The stream itself, counted. `report` gets (outcome, prompt, cached, completion tokens) at the first
    of: the last event, a failure, `aclose`."""

    def __init__(self, stream: EventStream, report: Callable[[Outcome, int, int, int], None]) -> None:
        self._stream = stream
        self._report = report
        self._is_reported = False
        self._prompt_tokens = self._cached_tokens = self._completion_tokens = 0

    def __aiter__(self) -> "Metered":
        return self

    async def __anext__(self) -> Event:
        try:
            event = await self._stream.__anext__()
        except StopAsyncIteration:
            self._finish("completed")
            raise
        except Exception:
            self._finish("failed")
            raise
        self._count(event)
        return event

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._finish("cancelled")

    def _count(self, event: Event) -> None:
        match event:
            case TextDelta() | ChoiceDone():
                self._completion_tokens += event.num_tokens
            case PromptDone():
                self._prompt_tokens += event.prompt_tokens
                self._cached_tokens += event.cached_tokens
            case Done():
                # Counts also the candidates that best_of threw away, of which there were no events.
                self._completion_tokens = max(self._completion_tokens, event.completion_tokens)
                self._finish("completed")

    def _finish(self, outcome: Outcome) -> None:
        if not self._is_reported:
            self._is_reported = True
            self._report(outcome, self._prompt_tokens, self._cached_tokens, self._completion_tokens)


def reporter(
    request_id: str, key_id: str, model: str, record: Callable[[Usage], None]
) -> Callable[[Outcome, int, int, int], None]:
    """What `Metered` calls, with the request's identity filled in."""

    def report(outcome: Outcome, prompt: int, cached: int, completion: int) -> None:
        record(Usage(request_id, key_id, model, outcome, prompt, cached, completion))

    return report

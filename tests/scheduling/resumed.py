"""An answer that broke off after each of its events and went on at another generator, compared with the
undisturbed one."""

from collections.abc import Sequence

import msgspec

from myna.core.events import ChoiceDone, Event, PromptDone, TextDelta
from myna.core.generator import Generator
from myna.core.requests import GenerationRequest
from myna.scheduling.resuming import SentEvents


async def ask(generator: Generator, request: GenerationRequest) -> list[Event]:
    """All events but that of the prompt."""
    events = [event async for event in await generator.generate(request)]
    return [event for event in events if not isinstance(event, PromptDone)]


def by_choice(events: Sequence[Event]) -> dict[int, list[Event]]:
    """-1: those of no choice. How the choices alternate may change."""
    found: dict[int, list[Event]] = {}
    for event in events:
        choice = event.choice if isinstance(event, TextDelta | ChoiceDone) else -1
        found.setdefault(choice, []).append(event)
    return found


class Reader:
    """A client whose answer breaks off, over and over."""

    def __init__(self, request: GenerationRequest) -> None:
        self.request = request
        self.sent = SentEvents()
        self.read: list[Event] = []

    def take(self, events: Sequence[Event]) -> None:
        for event in events:
            self.sent.note(event)
            self.read.append(event)

    async def resume(self, generator: Generator) -> list[Event]:
        """What is new in the events of the next run."""
        self.sent.rewind()
        again = msgspec.structs.replace(self.request, output_token_ids=self.sent.token_ids())
        rests = [self.sent.rest(event) for event in await ask(generator, again)]
        return [event for event in rests if event is not None]


async def resumed_everywhere(
    request: GenerationRequest, generator: Generator, other: Generator
) -> list[Event]:
    """Asserts that the answer stays the same, to the bit, wherever it breaks off, once or twice; returns
    it."""
    request = msgspec.structs.replace(request, return_token_ids=True)
    whole = await ask(generator, request)
    for cut in range(1, len(whole)):
        reader = Reader(request)
        reader.take(whole[:cut])
        rest = await reader.resume(other)
        assert by_choice([*reader.read, *rest]) == by_choice(whole), cut
        reader.take(rest[: cut % len(rest)])
        rest = await reader.resume(generator)
        assert by_choice([*reader.read, *rest]) == by_choice(whole), cut
    return whole


def token_ids(events: Sequence[Event], choice: int = 0) -> list[int]:
    found: list[int] = []
    for event in events:
        if isinstance(event, TextDelta | ChoiceDone) and event.choice == choice:
            found += event.token_ids
    return found

"""Answers that are stored before their end is sent."""

from tests.http.scripted import ScriptedStream, words

from myna.core.events import Done, Event
from myna.generation.storing import StoredStream


async def test_the_last_event_waits_until_the_answer_is_stored() -> None:
    seen: list[Event | str] = []

    async def store() -> None:
        seen.append("stored")

    script = words("a", "b")
    stream = StoredStream(ScriptedStream(script), seen.append, store)
    sent: list[Event] = []
    while event := stream.get_nowait():
        sent.append(event)
    assert sent == script[:-1]
    assert seen == sent
    assert await anext(aiter(stream)) == Done(3)
    assert seen == [*script, "stored"]

"""Several requests as one stream: order, errors, closing, and a reader that is slow."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.http.scripted import ScriptedGenerator, ScriptedStream, Step, words

from myna.core.errors import GenerationFailed
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta
from myna.core.generator import EventStream
from myna.core.requests import GenerationRequest
from myna.request.merged_stream import start


async def merged(*scripts: Sequence[Step]) -> tuple[EventStream, list[ScriptedStream]]:
    """The stream of a request for each script, and the streams that it is made of."""
    generator = ScriptedGenerator(list(scripts))
    requests = [GenerationRequest(str(i), (1, 2, 3), 16) for i in range(len(scripts))]
    return await start(generator, requests), generator.streams


async def turns() -> None:
    """Long enough for whatever can go on without the test."""
    for _ in range(2000):
        await asyncio.sleep(0)


async def test_a_reader_that_never_reads_leaves_the_events_where_they_are() -> None:
    stream, streams = await merged(*[words(*["x"] * 1000) for _ in range(4)])
    await turns()
    assert sum(1000 - one.num_left for one in streams) < 100
    await stream.aclose()
    assert [one.num_closed > 0 for one in streams] == [True] * 4


async def test_a_slow_reader_gets_every_event_in_order() -> None:
    stream, _ = await merged(*[words(*map(str, range(200))) for _ in range(3)])
    events: list[Event] = []
    async for event in stream:
        events.append(event)
        await asyncio.sleep(0)
    for choice in range(3):
        texts = [event.text for event in events if isinstance(event, TextDelta) and event.choice == choice]
        assert texts == [str(number) for number in range(200)]
    assert sum(isinstance(event, ChoiceDone) for event in events) == 3
    assert {event.prompt for event in events if isinstance(event, PromptDone)} == {0, 1, 2}
    assert events[-1] == Done(3 * 201)


async def test_the_first_error_ends_all_also_behind_a_slow_reader() -> None:
    broken = [*words(*["x"] * 200)[:150], GenerationFailed("nan")]
    stream, streams = await merged(broken, words(*["x"] * 1000))
    await turns()
    with pytest.raises(GenerationFailed):
        async for _ in stream:
            await asyncio.sleep(0)
    assert [one.num_closed > 0 for one in streams] == [True, True]
    assert not streams[1].is_finished


async def test_what_has_arrived_is_had_without_waiting_and_an_error_is_not() -> None:
    stream, _ = await merged(words("a"), [PromptDone(3, 1), GenerationFailed("nan")])
    assert stream.get_nowait() is None
    await turns()
    assert len([*iter(stream.get_nowait, None)]) >= 1
    with pytest.raises(GenerationFailed):
        await anext(aiter(stream))
    assert stream.get_nowait() is None


async def test_streams_that_were_not_begun_are_closed_too() -> None:
    stream, streams = await merged(words("a"), words("b"))
    await stream.aclose()
    assert [one.num_closed > 0 for one in streams] == [True, True]

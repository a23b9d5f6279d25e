"""The stream between a model and one reader: order, ends, leaving, and readers that are slow."""

import asyncio

import pytest

from myna.core.errors import EngineDead
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta, TokenLogprob
from myna.scheduling.streams import RequestStream


class Closings:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def closings() -> Closings:
    return Closings()


async def read(stream: RequestStream) -> list[Event]:
    return [event async for event in stream]


async def test_events_come_in_order_and_done_ends_them(closings: Closings) -> None:
    stream = RequestStream(closings)
    events: list[Event] = [PromptDone(1, 0), TextDelta(0, "a", 1), ChoiceDone(0, "stop", 0, 1), Done(1)]
    for event in events:
        stream.push(event)
    stream.push(TextDelta(0, "after the end", 1))
    assert await read(stream) == events
    await stream.aclose()
    assert closings.count == 0


async def test_a_waiting_reader_is_woken(closings: Closings) -> None:
    stream = RequestStream(closings)
    reading = asyncio.create_task(read(stream))
    await asyncio.sleep(0)
    for event in (TextDelta(0, "a", 1), Done(1)):
        stream.push(event)
    assert await reading == [TextDelta(0, "a", 1), Done(1)]


async def test_an_error_comes_after_the_text_and_once(closings: Closings) -> None:
    stream = RequestStream(closings)
    stream.push(TextDelta(0, "a", 1))
    stream.fail(EngineDead("dead"))
    stream.fail(EngineDead("again"))
    assert await anext(stream) == TextDelta(0, "a", 1)
    with pytest.raises(EngineDead, match=r"^dead$"):
        await anext(stream)
    assert await read(stream) == []


async def test_leaving_aborts_once_and_wakes_who_still_waits(closings: Closings) -> None:
    stream = RequestStream(closings)
    reading = asyncio.create_task(read(stream))
    await asyncio.sleep(0)
    await stream.aclose()
    await stream.aclose()
    assert await reading == []
    assert closings.count == 1


async def test_a_cancelled_reader_may_come_back(closings: Closings) -> None:
    stream = RequestStream(closings)
    reading = asyncio.create_task(read(stream))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    stream.push(Done(0))
    assert await read(stream) == [Done(0)]


async def test_a_slow_reader_gets_everything_in_fewer_pieces(closings: Closings) -> None:
    stream = RequestStream(closings)
    stream.push(PromptDone(1, 0))
    size = 10_000
    for index in range(size):
        for choice in range(2):
            logprob = TokenLogprob(index, -1.0, b"x")
            stream.push(TextDelta(choice, f"{choice}{index} ", 1, (logprob,)))
    for choice in range(2):
        stream.push(ChoiceDone(choice, "length", 0, size))
    stream.push(Done(2 * size))
    events = await read(stream)
    assert len(events) < 520
    assert events[0] == PromptDone(1, 0)
    assert events[-1] == Done(2 * size)
    for choice in range(2):
        deltas = [e for e in events if isinstance(e, TextDelta) and e.choice == choice]
        assert "".join(delta.text for delta in deltas) == "".join(f"{choice}{n} " for n in range(size))
        assert sum(delta.num_tokens for delta in deltas) == size
        assert [entry.token for delta in deltas for entry in delta.logprobs] == list(range(size))
        last = max(index for index, event in enumerate(events) if event in deltas)
        assert events.index(ChoiceDone(choice, "length", 0, size)) > last


async def test_many_choices_are_merged_without_merging_at_every_event(closings: Closings) -> None:
    stream = RequestStream(closings)
    for round_number in range(20):
        for choice in range(300):
            stream.push(TextDelta(choice, str(round_number), 1))
    stream.push(Done(6000))
    texts = dict.fromkeys(range(300), "")
    for event in await read(stream):
        if isinstance(event, TextDelta):
            texts[event.choice] += event.text
    assert set(texts.values()) == {"".join(str(n) for n in range(20))}


async def test_what_was_not_read_is_dropped_for_a_new_run(closings: Closings) -> None:
    stream = RequestStream(closings)
    stream.push(PromptDone(1, 0))
    stream.push(TextDelta(0, "lost", 1))
    await anext(stream)
    assert stream.is_prompt_read
    assert not stream.is_text_read
    stream.rewind()
    stream.push(TextDelta(0, "again", 1))
    assert await anext(stream) == TextDelta(0, "again", 1)
    assert stream.is_text_read


async def test_a_held_answer_comes_at_once_after_its_prompt(closings: Closings) -> None:
    stream = RequestStream(closings, is_held=True)
    stream.push(PromptDone(1, 0))
    stream.push(TextDelta(0, "a", 1))
    assert await anext(stream) == PromptDone(1, 0)
    reading = asyncio.create_task(read(stream))
    await asyncio.sleep(0)
    stream.push(TextDelta(0, "b", 1))
    await asyncio.sleep(0)
    assert not stream.is_text_read
    stream.push(ChoiceDone(0, "stop", 0, 2))
    stream.push(Done(2))
    text = [TextDelta(0, "a", 1), TextDelta(0, "b", 1)]
    assert await reading == [*text, ChoiceDone(0, "stop", 0, 2), Done(2)]


async def test_a_held_answer_that_fails_says_so(closings: Closings) -> None:
    stream = RequestStream(closings, is_held=True)
    stream.push(TextDelta(0, "a", 1))
    reading = asyncio.create_task(read(stream))
    await asyncio.sleep(0)
    stream.fail(EngineDead("dead"))
    with pytest.raises(EngineDead):
        await reading

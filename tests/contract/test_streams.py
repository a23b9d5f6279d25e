"""How a request begins, runs and ends, asked of every generator: refusals, closing, aborts, slow readers."""

import asyncio

import pytest
from tests.contract.answers import Answer
from tests.contract.rows import Capability, FindModel, Row, Setup, Subject

from myna.core.errors import ContextLengthExceeded, EngineDead, GenerationFailed, InvalidRequest, Overloaded
from myna.core.events import Done, Event, PromptDone, TextDelta
from myna.core.generator import EventStream
from myna.core.requests import GenerationRequest, Sampling
from myna.core.stats import SchedulerStats

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOW = "[[slow 10]] "  # words to a real model; the fake one takes 10 ms a step


async def read_text(stream: EventStream) -> list[Event]:
    """The first events, up to some text."""
    events: list[Event] = []
    while not events or not isinstance(events[-1], TextDelta):
        events.append(await anext(aiter(stream)))
    return events


async def idle_figures(subject: Subject) -> SchedulerStats:
    """The figures of a moment when nothing runs; they arrive a little after the events."""
    while True:
        await subject.ask("tiny", 1)
        stats = subject.generator.last_stats
        if stats is not None and stats.num_running == stats.num_waiting == 0:
            return stats


async def test_many_at_once_are_all_answered(subject: Subject) -> None:
    answers = await asyncio.gather(*(subject.ask(f"Question {index}:", 8) for index in range(12)))
    alone = [await subject.ask(f"Question {index}:", 8) for index in range(12)]
    assert [answer.text() for answer in answers] == [answer.text() for answer in alone]


async def test_events_that_have_arrived_are_had_without_waiting(subject: Subject) -> None:
    request = subject.request("the same", 40)
    awaited = Answer(request, [event async for event in await subject.generator.generate(request)])
    stream = await subject.generator.generate(request)
    events = [await anext(aiter(stream))]
    while not isinstance(events[-1], Done):
        await asyncio.sleep(0)
        event = stream.get_nowait()
        events.append(await anext(aiter(stream)) if event is None else event)
    assert stream.get_nowait() is None
    assert Answer(request, events).text() == awaited.text()


async def test_what_cannot_be_served_is_refused_before_the_first_event(subject: Subject) -> None:
    generate, info = subject.generator.generate, subject.generator.info
    with pytest.raises(ContextLengthExceeded):
        await generate(subject.request("too long", info.context_tokens))
    with pytest.raises(InvalidRequest):
        await generate(GenerationRequest("empty", (), 1))
    for token in (-1, info.vocab_size):
        with pytest.raises(InvalidRequest):
            await generate(GenerationRequest("no such token", (1, token), 1))
        with pytest.raises(InvalidRequest):
            await generate(subject.request("biased", sampling=Sampling(logit_bias=((token, 1.0),))))
    assert (await subject.ask("The next one")).text()


async def test_when_too_many_wait_the_next_is_refused(row: Row, model_path: FindModel) -> None:
    async with row.open(Setup(max_waiting_requests=2), model_path) as subject:
        subject.require(Capability.OVERLOAD)
        waiting = [await subject.generator.generate(subject.request(SLOW)) for _ in range(2)]
        with pytest.raises(Overloaded):
            await subject.generator.generate(subject.request("one too many"))
        for stream in waiting:
            await stream.aclose()
        assert (await subject.ask("The next one")).text()


async def test_a_stream_may_be_closed_unread_and_again(subject: Subject) -> None:
    stream = await subject.generator.generate(subject.request("never read", 200, ignore_eos=True))
    await stream.aclose()
    await stream.aclose()
    assert [event async for event in stream] == []


async def test_a_stream_may_be_closed_halfway_and_at_its_end(subject: Subject) -> None:
    halfway = await subject.generator.generate(subject.request("half read", 200, ignore_eos=True))
    await read_text(halfway)
    await halfway.aclose()
    assert [event async for event in halfway] == []
    ended = await subject.generator.generate(request := subject.request("read to its end"))
    Answer(request, [event async for event in ended])
    await ended.aclose()
    assert [event async for event in ended] == []


async def test_closing_a_stream_ends_who_waits_for_it(subject: Subject) -> None:
    stream = await subject.generator.generate(subject.request(SLOW + "closed", 200, ignore_eos=True))
    await read_text(stream)

    async def read_on() -> list[Event]:
        return [event async for event in stream]

    reading = asyncio.create_task(read_on())
    other = await subject.ask("another")
    await stream.aclose()
    assert all(isinstance(event, TextDelta) for event in await reading)
    assert other.text()


async def test_an_abort_frees_the_room_at_once(row: Row, model_path: FindModel) -> None:
    async with row.open(Setup(context_tokens=512, kv_tokens=512), model_path) as subject:
        subject.require(Capability.IGNORE_EOS, Capability.FIGURES)
        room = min(subject.generator.info.context_tokens, subject.generator.info.kv_tokens)
        for num_choices in (1, 3):
            large = subject.request(SLOW, room - 64, num_tokens=64, num_choices=num_choices, ignore_eos=True)
            stream = await subject.generator.generate(large)
            await read_text(stream)
            await stream.aclose()
        answer = await subject.ask("all the room, ", 8, num_tokens=room - 8, ignore_eos=True)
        assert answer.done.completion_tokens == 8
        stats = await idle_figures(subject)
        assert stats.kv_usage == 0
        assert sum(stats.batch_sizes.counts) < room - 64, "an aborted request ran to its end"


async def test_a_slow_reader_gets_the_whole_answer_and_stops_nobody(subject: Subject) -> None:
    fields = {"num_choices": 4, "num_logprobs": 0, "ignore_eos": True}
    subject.require(Capability.IGNORE_EOS)
    prompt_done, *others = (await subject.ask("A slow reader", 80, **fields)).events
    request = subject.request("A slow reader", 80, **fields)
    stream = await subject.generator.generate(request)
    events: list[Event] = [await anext(aiter(stream))]
    for index in range(3):
        assert (await subject.ask(f"A quick reader {index}", 80)).text()
    events += [event async for event in stream]
    slow, quick = Answer(request, events), Answer(request, [prompt_done, *others])
    assert slow.texts() == quick.texts()
    for choice in range(4):
        assert slow.logprobs(choice) == quick.logprobs(choice)
    assert slow.done == quick.done


async def test_a_collected_answer_can_be_closed_too(subject: Subject) -> None:
    request = subject.request(SLOW + "collected", 200, ignore_eos=True, is_collected=True)
    stream = await subject.generator.generate(request)
    assert isinstance(await anext(aiter(stream)), PromptDone)
    await stream.aclose()
    assert [event async for event in stream] == []
    assert (await subject.ask("The next one")).text()


async def test_a_tokenizer_answers_or_refuses(subject: Subject) -> None:
    try:
        tokens = await subject.generator.tokenize("a bird", parse_special=False)
    except GenerationFailed:
        return
    assert tokens == list(subject.encode("a bird"))


async def test_closing_the_generator_ends_what_runs(row: Row, model_path: FindModel) -> None:
    async with row.open(Setup(), model_path) as subject:
        generator = subject.generator
        assert generator.is_ready
        request = subject.request(SLOW, 500, ignore_eos=True)
        begun, unread = await generator.generate(request), await generator.generate(request)
        await read_text(begun)
        await generator.aclose()
        await generator.aclose()
        for stream in (begun, unread):
            with pytest.raises(EngineDead):
                [event async for event in stream]
            assert [event async for event in stream] == []
            await stream.aclose()
        assert not generator.is_ready


async def test_a_closed_generator_refuses_everything(row: Row, model_path: FindModel) -> None:
    async with row.open(Setup(), model_path) as subject:
        await subject.generator.aclose()
        with pytest.raises(EngineDead):
            await subject.generator.generate(subject.request("too late"))
        with pytest.raises(EngineDead):
            await subject.generator.tokenize("too late", parse_special=False)

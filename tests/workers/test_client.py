"""A worker process from outside: what it answers, how it dies, and what its server then does."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from myna.core.errors import ContextLengthExceeded, EngineDead, GenerationFailed, ModelLoadFailed, Overloaded
from myna.core.events import Done, Embedded, Event, PromptDone, TextDelta
from myna.core.requests import EmbeddingRequest, GenerationRequest
from myna.engines import fake, fake_embedding
from myna.scheduling.admission import QueueLimits
from myna.scheduling.streams import RequestStream
from myna.workers.client import State, WorkerClient
from myna.workers.frames import WorkerSpec
from myna.workers.watchdog import ProgressLimits


def prompt(text: str) -> tuple[int, ...]:
    return tuple(fake.tokenize(text, parse_special=True))


def request(text: str, max_tokens: int = 30) -> GenerationRequest:
    return GenerationRequest(text, prompt(text), max_tokens, ignore_eos=True)


def answer(text: str, num_tokens: int = 30) -> str:
    said = fake.script(prompt(text), num_tokens)
    return b"".join(fake.VOCABULARY[token] for token in said if token not in fake.SPECIAL_IDS).decode()


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def collect(stream: RequestStream) -> list[Event]:
    return [event async for event in stream]


async def ask(client: WorkerClient, text: str) -> str:
    return text_of([event async for event in await client.generate(request(text))])


@contextlib.asynccontextmanager
async def worker(path: str = "fake", limits: QueueLimits | None = None) -> AsyncIterator[WorkerClient]:
    client = WorkerClient(WorkerSpec("fake", path), limits, delay_s=0.01)
    await client.start()
    try:
        yield client
    finally:
        await client.aclose()


def environment_of(pid: int | None) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def is_alive(pid: int) -> bool:
    """Neither gone nor a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def begin(client: WorkerClient) -> RequestStream:
    """A long answer of which some text was read."""
    stream = await client.generate(request("[[slow 5]] begun", 5000))
    while not isinstance(await anext(stream), TextDelta):
        pass
    return stream


async def kill(client: WorkerClient, begun: RequestStream) -> None:
    """Returns when the server has noticed, which the end of a started answer shows."""
    assert client.pid is not None
    os.kill(client.pid, signal.SIGKILL)
    with pytest.raises(EngineDead):
        [event async for event in begun]


async def test_answers_many_requests_from_its_own_process() -> None:
    async with worker() as client:
        assert client.pid != os.getpid()
        texts = [f"question {index}" for index in range(20)]
        assert await asyncio.gather(*(ask(client, text) for text in texts)) == [answer(t) for t in texts]
        assert await client.tokenize("a bird", parse_special=False) == list(prompt("a bird"))
        assert client.info.engine == "fake"


async def test_refuses_before_anything_is_sent() -> None:
    async with worker(limits=QueueLimits(max_waiting_requests=1)) as client:
        with pytest.raises(ContextLengthExceeded):
            await client.generate(request("long", 100_000))
        first = await client.generate(request("[[slow 5]]"))
        with pytest.raises(Overloaded):
            await client.generate(request("second"))
        await first.aclose()
        assert await ask(client, "third") == answer("third")


async def test_an_error_of_one_request_crosses_the_socket() -> None:
    async with worker() as client:
        stream = await client.generate(request("[[fail]]"))
        with pytest.raises(GenerationFailed, match="asked the fake engine to fail"):
            [event async for event in stream]
        assert await ask(client, "the next") == answer("the next")


async def test_a_broken_model_is_named_with_the_workers_reason() -> None:
    client = WorkerClient(WorkerSpec("fake", "model-broken"))
    with pytest.raises(ModelLoadFailed, match="broken, as its name says"):
        await client.start()
    with pytest.raises(EngineDead):
        await client.generate(request("a"))


async def test_a_model_that_crashes_its_worker_fails_to_load_without_a_restart() -> None:
    client = WorkerClient(WorkerSpec("fake", "model-crash"))
    with pytest.raises(ModelLoadFailed, match=r"ended while loading model-crash.*SIGABRT"):
        await client.start()
    assert client.state is State.CLOSED


async def test_closing_while_loading_ends_the_process() -> None:
    client = WorkerClient(WorkerSpec("fake", "model-stuck"))
    starting = asyncio.create_task(client.start())
    await asyncio.sleep(0)  # it is spawned before the first wait
    pid = client.pid
    assert pid is not None
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not is_alive(pid)


async def test_closing_ends_the_process_and_what_runs() -> None:
    async with worker() as client:
        stream = await client.generate(request("[[slow 5]]", 5000))
        await anext(stream)
        pid = client.pid
        assert pid is not None
        await client.aclose()
        with pytest.raises(EngineDead):
            [event async for event in stream]
        assert not is_alive(pid)


async def test_a_killed_worker_comes_back_and_loses_no_unread_request() -> None:
    async with worker() as client:
        begun = await begin(client)
        unread = [await client.generate(request(f"[[slow 5]] {index}")) for index in range(8)]
        first_pid = client.pid
        await kill(client, begun)
        answers = [text_of([event async for event in stream]) for stream in unread]
        assert answers == [answer(f"[[slow 5]] {index}") for index in range(8)]
        assert client.pid != first_pid
        assert await ask(client, "later") == answer("later")


async def test_a_reader_of_the_prompt_alone_hears_of_it_once() -> None:
    async with worker() as client:
        begun = await begin(client)
        stream = await client.generate(request("[[slow 5]] once"))
        events = [await anext(stream)]
        await kill(client, begun)
        events += [event async for event in stream]
        assert [type(event) for event in events].count(PromptDone) == 1
        assert text_of(events) == answer("[[slow 5]] once")
        assert isinstance(events[-1], Done)


async def test_an_answer_that_is_collected_survives_its_workers_death() -> None:
    async with worker() as client:
        begun = await begin(client)
        wanted = msgspec.structs.replace(request("[[slow 5]] collected", 60), is_collected=True)
        stream = await client.generate(wanted)
        collecting = asyncio.create_task(collect(stream))
        for _ in range(10):  # by now it has received some of its text, too
            await anext(begun)
        await kill(client, begun)
        events = await collecting
        assert text_of(events) == answer("[[slow 5]] collected", 60)
        assert [type(event) for event in events].count(PromptDone) == 1
        assert isinstance(events[-1], Done)


async def test_a_request_that_kills_its_worker_ends_and_others_do_not() -> None:
    async with worker() as client:
        poison = await client.generate(request("[[crash]]"))
        with pytest.raises(EngineDead):
            [event async for event in poison]
        assert await ask(client, "still here") == answer("still here")


# Short ones, so that what is waited for comes soon; a tick in which the worker computes is a tenth of one.
IMPATIENT = ProgressLimits(tick_s=0.05, silent=8, stuck=8, loading=10, busy=10)


@contextlib.asynccontextmanager
async def impatient_worker() -> AsyncIterator[WorkerClient]:
    client = WorkerClient(WorkerSpec("fake", "fake"), delay_s=0.01, patience=IMPATIENT)
    await client.start()
    try:
        yield client
    finally:
        await client.aclose()


async def test_a_worker_that_hangs_is_ended_and_its_request_with_it() -> None:
    async with impatient_worker() as client:
        stream = await client.generate(request("[[hang]]"))
        with pytest.raises(EngineDead):
            [event async for event in stream]


async def test_a_worker_that_hangs_with_nothing_but_a_tokenize_pending_is_ended() -> None:
    async with impatient_worker() as client:
        with pytest.raises(EngineDead):
            await client.tokenize("[[hang]]", parse_special=False)
        assert await ask(client, "later") == answer("later")


async def test_a_stopped_worker_under_load_is_replaced() -> None:
    async with impatient_worker() as client:
        begun, first_pid = await begin(client), client.pid
        assert first_pid is not None
        unread = await client.generate(request("[[slow 5]] unread"))
        os.kill(first_pid, signal.SIGSTOP)
        with pytest.raises(EngineDead):
            [event async for event in begun]
        assert text_of([event async for event in unread]) == answer("[[slow 5]] unread")
        assert client.pid != first_pid
        assert not is_alive(first_pid)


async def test_a_stopped_idle_worker_is_not_ready_and_then_replaced() -> None:
    async with impatient_worker() as client:
        first_pid = client.pid
        assert first_pid is not None
        os.kill(first_pid, signal.SIGSTOP)
        while client.is_ready:  # noqa: ASYNC110 - there is nothing to wait for but its watchdog's ticks
            await asyncio.sleep(IMPATIENT.tick_s)
        assert (client.state, client.pid) == (State.READY, first_pid)  # suspected, not yet ended
        while client.pid == first_pid or not client.is_ready:  # noqa: ASYNC110
            await asyncio.sleep(IMPATIENT.tick_s)
        assert await ask(client, "later") == answer("later")


async def test_a_load_without_progress_fails_with_its_reason() -> None:
    client = WorkerClient(WorkerSpec("fake", "model-stuck"), patience=IMPATIENT)
    with pytest.raises(ModelLoadFailed, match=r"loading model-stuck: loading made no progress"):
        await client.start()
    assert client.pid is not None
    assert not is_alive(client.pid)


async def test_an_answer_to_a_question_that_was_given_up_is_ignored() -> None:
    async with worker() as client:
        begun = await begin(client)  # keeps the loop busy while the question is given up
        asked = asyncio.create_task(client.tokenize("a bird", parse_special=False))
        await asyncio.sleep(0)
        asked.cancel()
        assert await client.tokenize("a bird", parse_special=False) == list(prompt("a bird"))
        await begun.aclose()
        assert client._tokenizing == {}


async def test_no_secret_is_in_the_workers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = (
        *("MYNA_API_KEY", "MYNA_SECRET", "MYNA_DATABASE", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"),
        *("LLAMA_API_KEY", "LLAMA_ARG_SSL_KEY_FILE", "PYTHON_PASSWORD"),  # with the prefixes of harmless ones
    )
    for name in secrets:
        monkeypatch.setenv(name, "hidden")
    async with worker() as client:
        environment = environment_of(client.pid)
    assert b"PATH=" in environment
    assert not any(name.encode() in environment for name in secrets)


async def test_a_step_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    client = WorkerClient(WorkerSpec("fake", "fake", step_lock=str(tmp_path)))
    with pytest.raises(ModelLoadFailed, match=r"The step lock .* can't be opened: Is a directory"):
        await client.start()


async def test_ignores_the_signals_of_ctrl_c_and_service_managers() -> None:
    async with worker() as client:
        assert client.pid is not None
        os.kill(client.pid, signal.SIGINT)
        os.kill(client.pid, signal.SIGTERM)
        assert await ask(client, "still here") == answer("still here")
        assert client.state is State.READY


async def test_an_embedding_request_survives_the_death_of_its_worker() -> None:
    async with worker("embedding") as client:
        slow = prompt("[[slow 100]]")
        stream = await client.embed(EmbeddingRequest("id", (slow,) * 4))
        assert isinstance(await anext(stream), PromptDone)
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        events = [event async for event in stream]
        assert isinstance(events[-1], Done)
        data = b"".join(event.vectors for event in events if isinstance(event, Embedded))
        assert data == fake_embedding.vector(slow).tobytes() * 4


async def test_a_text_that_kills_every_worker_ends_its_own_request() -> None:
    async with worker("embedding") as client:
        stream = await client.embed(EmbeddingRequest("id", (prompt("[[crash]]"),)))
        with pytest.raises(EngineDead):
            [event async for event in stream]

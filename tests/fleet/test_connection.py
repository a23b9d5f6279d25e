"""A server's connection to several replicas, without Ray: real workers of the fake engine, which die."""

import asyncio

import pytest
from tests.fleet.in_process import SPEC, LocalReplicas, fleet_of, until

from myna.core.errors import EngineDead
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta
from myna.core.requests import EmbeddingRequest, GenerationRequest
from myna.engines import fake
from myna.fleet.front import FleetConnection
from myna.fleet.routing import Rendezvous, session_of
from myna.scheduling.admission import QueueLimits
from myna.scheduling.streams import RequestStream
from myna.workers.client import WorkerClient
from myna.workers.connection import OnMessage
from myna.workers.frames import WorkerSpec


def request(text: str, max_tokens: int = 40, **more: object) -> GenerationRequest:
    prompt = tuple(fake.tokenize(text, parse_special=True))
    return GenerationRequest(text, prompt, max_tokens, ignore_eos=True, **more)  # type: ignore[arg-type]


def script(what: GenerationRequest) -> str:
    """What the fake engine answers."""
    tokens = fake.script(what.prompt_tokens, what.max_tokens)
    return b"".join(fake.VOCABULARY[token] for token in tokens if token not in fake.SPECIAL_IDS).decode()


def text_of(events: list[Event], choice: int = 0) -> str:
    return "".join(one.text for one in events if isinstance(one, TextDelta) and one.choice == choice)


def tokens_of(events: list[Event]) -> int:
    return sum(one.num_tokens for one in events if isinstance(one, TextDelta | ChoiceDone))


async def ask(client: WorkerClient, what: GenerationRequest) -> list[Event]:
    return [event async for event in await client.generate(what)]


async def begin(stream: RequestStream) -> list[Event]:
    """Read until some text has come."""
    events = []
    while not isinstance(event := await anext(stream), TextDelta):
        events.append(event)
    return [*events, event]


def running_at(replicas: LocalReplicas) -> str:
    (name,) = [name for name, replica in replicas.replicas.items() if replica.num_running]
    return name


async def test_answers_come_from_all_replicas() -> None:
    async with fleet_of("a", "b") as (replicas, client):
        texts = [f"question {number}" for number in range(12)]
        answers = await asyncio.gather(*(ask(client, request(text)) for text in texts))
        expected = [script(request(text)) for text in texts]
        assert [text_of(events) for events in answers] == expected
        assert set(replicas.streams) == {"a", "b"}
        assert client.info.engine == "fake"
        assert await client.tokenize("a bird", parse_special=False) == fake.tokenize(
            "a bird", parse_special=False
        )


async def test_another_server_finds_the_replica_where_a_session_began() -> None:
    """Also if that isn't the first in the session's order, which was busier then."""
    async with fleet_of("a", "b") as (replicas, client):
        connections = []

        def connect(on_message: OnMessage) -> FleetConnection:
            connections.append(FleetConnection("m", replicas, on_message))
            return connections[0]

        other = WorkerClient(SPEC, QueueLimits(), connect=connect)
        await other.start()
        try:
            await asyncio.gather(*(ask(other, request(f"{number} link", 4)) for number in range(12)))
            assert set(replicas.chosen) == {"a", "b"}
            session = session_of("m", request("one"))
            first, second = Rendezvous("ab").walk(session)
            replicas.others_load = {first: 3}
            await ask(client, request("one", 4))
            replicas.others_load = {}
            await until(lambda: connections[0].links.affinity.of(session) == second)
            await ask(other, request("one", 4))
            assert replicas.chosen[-2:] == [second, second]
        finally:
            await other.aclose()


async def test_the_statistics_are_those_of_the_replicas_that_are_there() -> None:
    async with fleet_of("a", "b") as (replicas, client):
        questions = [request(f"{number} question", 4) for number in range(12)]
        await asyncio.gather(*(ask(client, question) for question in questions))
        await until(lambda: client.last_stats is not None and len(client.last_stats.replicas) == 2)
        stats = client.last_stats
        assert stats is not None
        assert {(one.replica, one.node) for one in stats.replicas} == {("a", "here"), ("b", "here")}
        sent = sum(len(question.prompt_tokens) for question in questions)
        assert sum(one.prompt_tokens for one in stats.replicas) <= sent
        steps = [sum(one.stats.step_tokens.counts) for one in stats.replicas]
        assert sum(stats.step_tokens.counts) == sum(steps)
        for name, left in (("a", ["b"]), ("b", [])):
            await replicas.remove(name)
            await until(lambda left=left: [one.replica for one in client.last_stats.replicas] == left)  # type: ignore[misc, union-attr]
        assert client.last_stats is not None
        assert client.last_stats.num_running == 0


async def test_a_stream_goes_on_at_another_replica() -> None:
    what = request("[[slow 5]] a long answer", 60, num_choices=2, best_of=2, num_logprobs=0)
    async with fleet_of("a", "b") as (replicas, client):
        reference = await ask(client, what)
        stream = await client.generate(what)
        events = await begin(stream)
        await replicas.remove(running_at(replicas))
        events += [event async for event in stream]
    for choice in range(2):
        assert text_of(events, choice) == text_of(reference, choice)
    assert tokens_of(events) == tokens_of(reference)
    assert [event for event in events if isinstance(event, Done)] == [reference[-1]]
    assert sum(isinstance(event, PromptDone) for event in events) == 1
    assert sum(isinstance(event, ChoiceDone) for event in events) == 2
    logprobs = [one for event in events if isinstance(event, TextDelta) for one in event.logprobs]
    assert len(logprobs) == sum(len(event.logprobs) for event in reference if isinstance(event, TextDelta))


async def test_a_stream_goes_on_twice() -> None:
    what = request("[[slow 20]] a long answer", 60)
    async with fleet_of("a", "b", "c") as (replicas, client):
        reference = await ask(client, what)
        stream = await client.generate(what)
        events = await begin(stream)
        for _ in range(2):
            await replicas.remove(running_at(replicas))
            events += [await anext(stream)]
        events += [event async for event in stream]
    assert text_of(events) == text_of(reference)
    assert tokens_of(events) == tokens_of(reference)


async def test_what_goes_on_takes_its_tokens_along() -> None:
    """Each time all that were read, so that none is generated twice."""
    what = request("[[slow 20]] a long answer", 60)
    tokens = tuple(fake.script(what.prompt_tokens, 60))
    async with fleet_of("a", "b", "c") as (replicas, client):
        stream = await client.generate(what)
        events, read = await begin(stream), list[int]()
        for _ in range(2):
            await replicas.remove(running_at(replicas))
            read.append(tokens_of(events))
            events += [await anext(stream)]
        events += [event async for event in stream]
    sent = [one.output_token_ids for one in replicas.requests if isinstance(one, GenerationRequest)]
    assert sent == [(), *((tokens[:num],) for num in read)]
    assert 0 < read[0] < read[1] < 60
    assert text_of(events) == script(what)


async def test_an_engine_that_is_not_reproducible_ends_its_streams_with_an_error() -> None:
    async with fleet_of("a", "b", is_batch_invariant=False) as (replicas, client):
        stream = await client.generate(request("[[slow 5]]", 200))
        await begin(stream)
        await replicas.remove(running_at(replicas))
        with pytest.raises(EngineDead):
            [event async for event in stream]


async def test_other_weights_dont_continue_an_answer() -> None:
    async with fleet_of("a") as (replicas, client):
        stream = await client.generate(request("[[slow 50]]", 2000))
        await begin(stream)
        await replicas.add("b", weights="others")
        await replicas.remove("a")
        with pytest.raises(EngineDead):
            [event async for event in stream]
        assert text_of(await ask(client, request("a new one")))


async def test_what_was_not_read_runs_again_anywhere() -> None:
    async with fleet_of("a", "b", is_batch_invariant=False) as (replicas, client):
        what = request("[[slow 5]] whole", 40, is_collected=True)
        answer = asyncio.create_task(ask(client, what))
        await until(lambda: any(replica.num_running for replica in replicas.replicas.values()))
        await replicas.remove(running_at(replicas))
        assert text_of(await answer)


async def test_requests_wait_for_a_replica() -> None:
    async with fleet_of("a") as (replicas, client):
        await replicas.remove("a")
        answer = asyncio.create_task(ask(client, request("later")))
        await asyncio.sleep(0)
        await replicas.add("b")
        assert text_of(await answer)


async def test_a_silent_replica_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its link is open, but nothing arrives: the network is cut."""
    monkeypatch.setattr("myna.fleet.links.RESUME_S", 0.2)
    monkeypatch.setattr("myna.fleet.links.LOOK_S", 0.05)
    what = request("[[slow 5]] a long answer", 60)
    async with fleet_of("a", "b") as (replicas, client):
        reference = await ask(client, what)
        stream = await client.generate(what)
        events = await begin(stream)
        replicas.streams[running_at(replicas)].is_silent = True
        events += [event async for event in stream]
    assert text_of(events) == text_of(reference)


async def test_a_stream_that_could_not_continue_is_given_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """To leave a replica too early would end it with an error."""
    monkeypatch.setattr("myna.fleet.links.RESUME_S", 0.0)
    monkeypatch.setattr("myna.fleet.links.SILENCE_S", float("inf"))
    monkeypatch.setattr("myna.fleet.links.LOOK_S", 0.01)
    async with fleet_of("a", "b", is_batch_invariant=False) as (replicas, client):
        what = request("[[slow 5]]", 20)
        assert text_of(await ask(client, what)) == script(what)
        assert len(replicas.chosen) == 1


async def test_a_replica_that_gives_no_place_is_avoided() -> None:
    async with fleet_of("a", "b") as (replicas, client):
        what = request("one")
        first, second = Rendezvous("ab").walk(session_of("m", what))
        replicas.hung = {first}
        assert text_of(await ask(client, what)) == script(what)
        assert replicas.chosen == [first, second]


def ordered(replicas: str, first: str = "") -> tuple[GenerationRequest, list[str]]:
    """A request, and the order in which it tries these."""
    for number in range(1000):
        what = request(f"{number} question")
        order = list(Rendezvous(replicas).walk(session_of("m", what)))
        if order[0] == first or not first:
            return what, order
    raise AssertionError


async def test_what_found_a_machine_dead_does_not_try_its_other_replicas() -> None:
    what, (first, second, third) = ordered("abc")
    async with fleet_of(first, second, third, nodes=("dead", "dead", "alive")) as (replicas, client):
        replicas.hung = {first, second}
        assert text_of(await ask(client, what)) == script(what)
        assert replicas.chosen == [first, third]


async def test_a_machine_whose_replica_is_heard_is_not_avoided_for_another() -> None:
    what, (first, second, third) = ordered("abc")
    async with fleet_of(first, second, third, nodes=("one", "one", "other")) as (replicas, client):
        await ask(client, ordered("abc", second)[0])  # which opens the link
        replicas.hung, replicas.others_load = {first}, {third: 3}
        replicas.chosen.clear()
        assert text_of(await ask(client, what)) == script(what)
        assert replicas.chosen == [first, second]


async def test_a_silent_link_without_requests_is_noticed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myna.fleet.links.RESUME_S", 0.2)
    monkeypatch.setattr("myna.fleet.links.LOOK_S", 0.05)
    async with fleet_of("a", "b") as (replicas, client):
        what = request("one")
        await ask(client, what)
        [name] = replicas.chosen
        replicas.streams[name].is_silent = True
        await until(lambda: replicas.streams[name].is_cancelled)
        await ask(client, what)
        assert replicas.chosen[-1] != name


async def test_a_late_replica_gets_no_new_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its link counts as dead."""
    monkeypatch.setattr("myna.fleet.links.LATE_S", 0.1)
    monkeypatch.setattr("myna.fleet.links.RESUME_S", float("inf"))
    monkeypatch.setattr("myna.fleet.links.LOOK_S", 0.05)
    async with fleet_of("a", "b") as (replicas, client):
        what = request("one")
        await ask(client, what)
        [name] = replicas.chosen
        assert isinstance(client._worker, FleetConnection)
        replicas.streams[name].is_silent = True
        await until(lambda: name in client._worker.links.avoided())  # type: ignore[union-attr]
        assert text_of(await ask(client, what)) == script(what)
        assert replicas.chosen[-1] != name


async def test_closing_a_stream_aborts_it_at_the_replica() -> None:
    async with fleet_of("a") as (replicas, client):
        stream = await client.generate(request("[[slow 5]]", 5000))
        await begin(stream)
        replica = replicas.replicas["a"]
        assert replica.num_running == 1
        await stream.aclose()
        await until(lambda: not (replica.num_running))


async def test_a_server_that_is_gone_takes_its_requests_along() -> None:
    async with fleet_of("a") as (replicas, client):
        stream = await client.generate(request("[[slow 5]]", 5000))
        await begin(stream)
        replica = replicas.replicas["a"]
        await client.aclose()
        await until(lambda: not (replica.num_running or replica.links))
        with pytest.raises(EngineDead):
            [event async for event in stream]


async def test_embeddings_are_spread_too() -> None:
    replicas = LocalReplicas()
    await replicas.add("a", spec=WorkerSpec("fake", "fake-embedding"))
    try:
        what = EmbeddingRequest("id", ((1, 2, 3),))
        async with replicas.choose("s", (), "") as chosen:
            stream = replicas.link("a", "server")
            await anext(stream)
            await chosen.run("server", 1, what, "")
            stream.cancel()
    finally:
        await replicas.aclose()

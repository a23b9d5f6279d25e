"""Several models in too little memory: who leaves for whom, who waits, and that nobody waits for ever."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.catalog.weights import MB, Holder, Looking, Yard, local, pool_of, settle

from myna.catalog.manager import PoolLimits
from myna.catalog.memory import Memory
from myna.core.errors import ModelLoadFailed, ModelTooLarge, MynaError, Overloaded

SIZES = {"a": 200 * MB, "b": 300 * MB, "c": 400 * MB, "huge": 2000 * MB}
ROOM = 700 * MB


def yard_of(**changes: Any) -> Yard:
    return Yard(sizes=dict(SIZES), **changes)


async def use(pool: Any, model: str) -> None:
    async with pool.hold(pool.card(model)):
        pass


async def test_the_least_recently_used_leaves() -> None:
    yard = yard_of()
    pool = pool_of(yard, *SIZES, models_bytes=ROOM)
    for model in ("a", "b", "a", "c"):
        await use(pool, model)
    assert yard.up == ["a", "c"]


async def test_nobody_leaves_who_need_not() -> None:
    """`a` is the older, but `b` alone makes the room."""
    yard = yard_of()
    pool = pool_of(yard, *SIZES, models_bytes=ROOM)
    await use(pool, "a")
    await use(pool, "b")
    await use(pool, "c")
    assert yard.up == ["b", "c"]
    await use(pool, "a")
    assert yard.up == ["c", "a"]


async def test_a_held_model_stays_and_the_other_waits_for_its_end() -> None:
    yard = yard_of()
    pool = pool_of(yard, *SIZES, models_bytes=500 * MB)
    first = Holder(pool, "b")
    await first.served()
    second = Holder(pool, "c")
    await settle()
    assert not second.has_it
    assert yard.up == ["b"]
    await first.let_go()
    await second.served()
    assert yard.up == ["c"]


async def test_a_stream_of_requests_keeps_no_other_model_out() -> None:
    """Who comes after the waiting one stands behind it, though its model is still there."""
    yard = yard_of()
    pool = pool_of(yard, *SIZES, models_bytes=500 * MB)
    first = Holder(pool, "b")
    await first.served()
    other = Holder(pool, "c")
    await settle()
    late = Holder(pool, "b")
    await settle()
    assert not late.has_it
    await first.let_go()
    await other.served()
    await settle()
    assert not late.has_it
    await other.let_go()
    await late.served()
    assert yard.up == ["b"]


async def test_who_gives_up_waiting_lets_the_others_go_on() -> None:
    yard = yard_of()
    pool = pool_of(yard, *SIZES, models_bytes=500 * MB)
    first = Holder(pool, "b")
    await first.served()
    other = Holder(pool, "c")
    await settle()
    late = Holder(pool, "b")
    await settle()
    await other.let_go()
    await late.served()
    assert yard.num_loads == 1


async def test_the_line_for_a_load_has_an_end() -> None:
    yard = yard_of()
    pool = pool_of(yard, *SIZES)
    pool.reconfigure(Looking([local("a")]), PoolLimits(max_waiting=2))
    yard.gate.clear()
    waiting = [Holder(pool, "a") for _ in range(3)]
    await settle()
    with pytest.raises(Overloaded, match="2 requests are waiting for a"):
        await waiting[2].served()
    yard.gate.set()
    for holder in waiting[:2]:
        await holder.served()
    await Holder(pool, "a").served()


async def test_a_load_is_finished_for_who_tries_again() -> None:
    yard = yard_of()
    pool = pool_of(yard, *SIZES)
    yard.gate.clear()
    impatient = Holder(pool, "a")
    await settle()
    await impatient.let_go()
    again = Holder(pool, "a")
    await settle()
    yard.gate.set()
    await again.served()
    assert yard.num_loads == 1


async def test_one_that_never_fits_is_refused_with_numbers_and_nobody_leaves() -> None:
    yard = yard_of()
    pool = pool_of(yard, *SIZES, models_bytes=ROOM)
    await use(pool, "a")
    with pytest.raises(ModelTooLarge, match=r"needs 2,097 MB .* at most 734 MB here\. .*models_memory"):
        await use(pool, "huge")
    assert yard.up == ["a"]


async def test_memory_of_other_programs_is_not_available() -> None:
    yard = yard_of()
    pool = pool_of(yard, *SIZES, memory=Memory(4 << 30, 500 * MB))
    await use(pool, "a")
    with pytest.raises(ModelTooLarge, match="other programs leave"):
        await use(pool, "c")
    assert yard.up == ["a"]


async def test_a_file_that_is_not_a_model_unloads_no_other() -> None:
    yard = yard_of(unsound={"c"})
    pool = pool_of(yard, *SIZES, models_bytes=500 * MB)
    await use(pool, "b")
    with pytest.raises(ModelLoadFailed, match="not a model"):
        await use(pool, "c")
    assert yard.up == ["b"]


async def test_a_model_that_fails_to_load_makes_others_leave_once() -> None:
    yard = yard_of(broken={"c"})
    looking = Looking([local(model) for model in SIZES])
    pool = pool_of(yard, *SIZES, models_bytes=500 * MB)
    await use(pool, "b")
    with pytest.raises(ModelLoadFailed, match="broken"):
        await use(pool, "c")
    assert yard.up == []
    assert pool.is_ready
    await use(pool, "b")
    with pytest.raises(ModelLoadFailed, match="broken"):
        await use(pool, "c")
    assert yard.up == ["b"]
    yard.broken.clear()
    pool.reconfigure(looking, PoolLimits(500 * MB))  # a reload gives it another chance
    await use(pool, "c")
    assert yard.up == ["c"]


async def test_a_model_whose_worker_died_permanently_is_loaded_again() -> None:
    yard = yard_of()
    pool = pool_of(yard, *SIZES)
    first = Holder(pool, "a")
    await first.served()
    yard.running[0].has_died = True
    second = Holder(pool, "a")
    assert (await second.served()).generator is yard.running[1]
    assert yard.up == ["a"]
    await first.let_go()
    assert (await Holder(pool, "a").served()).generator is yard.running[1]
    assert tuple(name for name, _ in pool.running()) == ("a",)


async def test_a_model_that_takes_no_memory_makes_nobody_leave_and_waits_for_no_load() -> None:
    yard = yard_of(elsewhere={"huge"})
    pool = pool_of(yard, *SIZES, models_bytes=500 * MB)
    await use(pool, "b")
    busy = Holder(pool, "b")
    await busy.served()
    waiting = Holder(pool, "c")  # its load waits until `b` is free
    await settle()
    far = Holder(pool, "huge")
    await far.served()
    assert yard.up == ["b", "huge"]
    await busy.let_go()
    await waiting.served()
    assert yard.up == ["huge", "c"]


async def test_a_model_elsewhere_that_died_is_loaded_again() -> None:
    yard = yard_of(elsewhere={"a"})
    pool = pool_of(yard, *SIZES)
    await use(pool, "a")
    yard.running[0].has_died = True
    assert (await Holder(pool, "a").served()).generator is yard.running[1]
    assert tuple(name for name, _ in pool.running()) == ("a",)


class Requests(RuleBasedStateMachine):
    """Requests come, end and give up in any order, over four models of which few fit at once."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.runner.run(self._begin())

    async def _begin(self) -> None:
        self.yard = yard_of(broken={"broken"})
        self.yard.sizes["broken"] = 100 * MB
        self.pool = pool_of(self.yard, *SIZES, "broken", models_bytes=ROOM)
        self.holders: list[Holder] = []
        self.versions: dict[str, int] = {}

    async def _run(self, what: Any = None) -> None:
        if what is not None:
            await what
        await settle()

    @rule(model=st.sampled_from(["a", "b", "c", "huge", "broken"]))
    def ask(self, model: str) -> None:
        async def ask() -> None:
            self.holders.append(Holder(self.pool, model))

        self.runner.run(self._run(ask()))

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        self.holders.remove(holder)
        self.runner.run(self._run(holder.let_go()))

    @precondition(lambda self: self.yard.up)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """A worker that can't be restarted; requests that hold it get its errors."""
        running = data.draw(st.sampled_from([it for it in self.yard.running if not it.is_closed]))
        running.has_died = True

    @rule(is_open=st.booleans())
    def hold_up_loads(self, is_open: bool) -> None:
        (self.yard.gate.set if is_open else self.yard.gate.clear)()
        self.runner.run(self._run())

    @rule(model=st.sampled_from(["a", "b", "c"]))
    def replace_file(self, model: str) -> None:
        """As if it was pulled again."""
        self.versions[model] = self.versions.get(model, 7) + 1
        files = [local(name, version=self.versions.get(name, 7)) for name in (*SIZES, "broken")]
        self.runner.run(self._run(self._change(Looking(files), PoolLimits(ROOM))))

    async def _change(self, looking: Looking, limits: PoolLimits) -> None:
        self.pool.reconfigure(looking, limits)

    @invariant()
    def what_is_held_runs(self) -> None:
        for holder in self.holders:
            if holder.has_it:
                running = holder.task.result().generator
                assert not running.is_closed or running.has_died  # type: ignore[attr-defined]

    @invariant()
    def memory_is_not_exceeded(self) -> None:
        assert sum(SIZES.get(model, 0) for model in self.yard.up) <= ROOM
        assert self.yard.num_loading <= 1

    @invariant()
    def errors_are_sentences(self) -> None:
        for holder in self.holders:
            if holder.task.done() and not holder.has_it:
                assert isinstance(holder.task.exception(), MynaError)
                assert holder.model in ("huge", "broken")

    def teardown(self) -> None:
        """Those who still wait are served when those before have ended: nobody waits forever."""

        async def serve_all() -> None:
            self.yard.gate.set()
            await settle()
            for _ in range(len(self.holders) + 1):
                for holder in [holder for holder in self.holders if holder.task.done()]:
                    self.holders.remove(holder)
                    await holder.let_go()
                await settle()
            assert self.holders == []
            await self.pool.aclose()
            assert self.yard.up == []

        self.runner.run(serve_all())
        self.runner.close()


TestRequests = Requests.TestCase
TestRequests.settings = settings(stateful_step_count=40, suppress_health_check=list(HealthCheck))

"""What requests share and in which order they are served, asked of every generator."""

import asyncio

import pytest
from tests.contract.rows import Capability, FindModel, Row, Setup, Subject

from myna.core.requests import GenerationRequest, Sampling

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = "The bird sat in the tree and sang all day long, until the rain came. " * 4


async def test_a_prefix_is_shared_under_an_equal_salt_only(subject: Subject) -> None:
    subject.require(Capability.CACHE_SALTS)
    texts = []
    for salt, is_shared in (("a", False), ("a", True), ("b", False), ("", False), ("b", True), ("", True)):
        answer = await subject.ask(LONG + "Then", cache_salt=salt)
        assert (answer.prompt.cached_tokens > 0) == is_shared
        texts.append(answer.text())
    assert len(set(texts)) == 1, "what was cached changes no answer"


async def test_urgent_requests_are_served_first(row: Row, model_path: FindModel) -> None:
    async with row.open(Setup(context_tokens=192, kv_tokens=192), model_path) as subject:
        subject.require(Capability.PRIORITIES, Capability.IGNORE_EOS)
        order: list[str] = []

        async def ask(name: str, priority: int) -> None:
            """There is room for one at a time."""
            await subject.ask(f"{name}: {LONG}", 8, num_tokens=100, priority=priority, ignore_eos=True)
            order.append(name)

        first = subject.request(f"[[slow 10]] first: {LONG}", 90, num_tokens=100, ignore_eos=True)
        stream = await subject.generator.generate(first)
        await anext(aiter(stream))
        async with asyncio.TaskGroup() as group:
            for name, priority in (("later", -1), ("usual", 0), ("urgent", 1)):
                group.create_task(ask(name, priority))
            async for _ in stream:
                pass
        assert order == ["urgent", "usual", "later"]


async def test_an_owner_who_holds_everything_makes_room_and_gets_the_same_answers(
    row: Row, model_path: FindModel
) -> None:
    async with row.open(Setup(context_tokens=192, kv_tokens=512), model_path) as subject:
        subject.require(Capability.FAIRNESS, Capability.IGNORE_EOS)
        ended: list[str] = []

        def request(name: str, max_tokens: int, owner: str) -> GenerationRequest:
            sampling = Sampling(temperature=1.0, seed=7)
            text = f"{name}: {LONG}"
            return subject.request(
                text, max_tokens, num_tokens=60, owner=owner, sampling=sampling, ignore_eos=True
            )

        async def ask(name: str, max_tokens: int, owner: str) -> str:
            answer = await subject.answer(request(name, max_tokens, owner))
            ended.append(name)
            return answer.text()

        first = await subject.generator.generate(request("[[slow 5]] first", 120, "many"))
        await anext(aiter(first))
        names = [f"many {number}" for number in range(6)]
        async with asyncio.TaskGroup() as group:
            many = [group.create_task(ask(name, 120, "many")) for name in names]
            few = group.create_task(ask("few", 8, "few"))
            async for _ in first:
                pass
        assert ended[0] == "few"
        for name, answer in zip(names, many, strict=True):
            assert answer.result() == await ask(name, 120, "many")
        assert few.result() == await ask("few", 8, "few")

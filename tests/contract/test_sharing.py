"""What requests share and in which order they are served, asked of every generator."""

import asyncio

import pytest
from tests.contract.rows import Capability, FindModel, Row, Setup, Subject

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
    async with row.open(Setup(context_tokens=128, kv_tokens=128), model_path) as subject:
        subject.require(Capability.PRIORITIES, Capability.IGNORE_EOS)
        order: list[str] = []

        async def ask(name: str, priority: int) -> None:
            """There is room for one at a time."""
            await subject.ask(f"{name}: {LONG}", 8, num_tokens=80, priority=priority, ignore_eos=True)
            order.append(name)

        first = subject.request(f"[[slow 10]] first: {LONG}", 40, num_tokens=80, ignore_eos=True)
        stream = await subject.generator.generate(first)
        await anext(aiter(stream))
        async with asyncio.TaskGroup() as group:
            for name, priority in (("a", 0), ("b", 0), ("urgent", 2), ("c", -1), ("soon", 1)):
                group.create_task(ask(name, priority))
            async for _ in stream:
                pass
        assert order == ["urgent", "soon", "a", "b", "c"]

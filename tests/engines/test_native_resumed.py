"""Answers of a real model go on from the tokens of an earlier run with the same bits, wherever they broke
off: what one run decoded token by token, the other computes as a prompt."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from tests.scheduling.resumed import resumed_everywhere

from myna.core.constraints import JsonSchema
from myna.core.events import TextDelta
from myna.core.requests import GenerationRequest, Sampling
from myna.scheduling.in_process import InProcessGenerator
from myna.workers.frames import WorkerSpec
from myna.workers.loading import load_model

PROMPT = (6403, 1980, 253, 655, 665, 436, 253, 5615, 338)  # Once upon a time there was a bird that
SCHEMA = JsonSchema('{"type": "object", "properties": {"bird": {"type": "string"}}, "required": ["bird"]}')
HOT = Sampling(temperature=1.2, seed=11, top_p=0.95, min_p=0.02)


@pytest.fixture
async def generators(
    model_path: Callable[[str], Path],
) -> AsyncIterator[tuple[InProcessGenerator, InProcessGenerator]]:
    """Of one model with one and with two threads."""
    path = str(model_path("smollm2-135m-instruct"))
    one, other = (
        InProcessGenerator(
            lambda threads=threads: load_model(WorkerSpec("native", path, 512, 64 << 20, threads))  # type: ignore[misc]
        )
        for threads in (1, 2)
    )
    await one.start()
    await other.start()
    yield one, other
    await one.aclose()
    await other.aclose()


@pytest.mark.parametrize(
    "more",
    [
        {"sampling": Sampling(temperature=0), "num_logprobs": 2},
        {"sampling": HOT, "num_choices": 2, "best_of": 2},
        {
            "sampling": msgspec.structs.replace(
                HOT, repetition_penalty=1.3, presence_penalty=0.7, frequency_penalty=0.9
            ),
        },
        {"sampling": HOT, "constraint": SCHEMA},
        {"sampling": HOT, "stop": ("e b", "qu"), "num_logprobs": 0},
    ],
    ids=["greedy", "choices", "penalties", "grammar", "stop"],
)
async def test_an_answer_goes_on_with_the_same_bits(
    more: dict[str, object], generators: tuple[InProcessGenerator, InProcessGenerator]
) -> None:
    one, other = generators
    request = GenerationRequest("r", PROMPT, 14, ignore_eos=True, **more)  # type: ignore[arg-type]
    whole = await resumed_everywhere(request, one, other)
    assert sum(isinstance(event, TextDelta) for event in whole) > 3

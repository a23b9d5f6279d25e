"""LoRA adapters in vLLM, on a tiny model with random ones."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import pytest_asyncio
from tests.contract.answers import Answer
from tests.contract.rows import Setup
from tests.vllm.conftest import tiny_spec
from tests.vllm.folders import write_safetensors

from myna.core.errors import ModelLoadFailed
from myna.core.requests import GenerationRequest, Sampling
from myna.workers.client import WorkerClient
from myna.workers.program import WorkerProgram

_QUESTION = GenerationRequest("q", (1, 2, 3, 4), 12, sampling=Sampling(temperature=0), ignore_eos=True)
_WIDTH, _RANK = 64, 4


def make_adapter(folder: Path, seed: int, module: str = "q_proj") -> str:
    """Of the tiny model's first layer."""
    folder.mkdir()
    config = {"peft_type": "LORA", "r": _RANK, "lora_alpha": 64, "target_modules": [module], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    random = np.random.default_rng(seed)
    name = f"base_model.model.model.layers.0.self_attn.{module}.lora_"
    shapes = {f"{name}A.weight": (_RANK, _WIDTH), f"{name}B.weight": (_WIDTH, _RANK)}
    weights = {one: random.normal(0, 1, shape).astype(np.float32) for one, shape in shapes.items()}
    write_safetensors(folder / "adapter_model.safetensors", weights)
    return str(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(
    vllm_program: WorkerProgram, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WorkerClient]:
    folder = tmp_path_factory.mktemp("adapters")
    adapters = {name: make_adapter(folder / name, seed) for seed, name in enumerate(("one", "other"))}
    spec = msgspec.structs.replace(tiny_spec(tiny_folder, Setup()), adapters=adapters)
    opened = WorkerClient(spec, program=vllm_program)
    await opened.start()
    yield opened
    await opened.aclose()


async def ask(client: WorkerClient, adapter: str, **more: object) -> Answer:
    request = msgspec.structs.replace(_QUESTION, adapter=adapter, **more)
    return Answer(request, [event async for event in await client.generate(request)])


@pytest.mark.asyncio(loop_scope="module")
async def test_each_adapter_answers_in_its_own_way(client: WorkerClient) -> None:
    assert list(client.info.adapters) == ["one", "other"]
    texts = [(await ask(client, adapter)).text() for adapter in ("", "one", "other", "one", "")]
    assert len(set(texts)) == 3
    assert texts[1] == texts[3] and texts[0] == texts[4]


@pytest.mark.asyncio(loop_scope="module")
async def test_nothing_that_one_adapter_computed_is_used_for_another(client: WorkerClient) -> None:
    prompt = tuple(range(5, 205))
    answers = [await ask(client, adapter, prompt_tokens=prompt) for adapter in ("one", "one", "other")]
    cached = [answer.prompt.cached_tokens for answer in answers]
    assert cached[0] == cached[2] == 0 < cached[1]


async def test_an_adapter_of_another_model_is_named(
    vllm_program: WorkerProgram, tiny_folder: Path, tmp_path: Path
) -> None:
    adapters = {"alien": make_adapter(tmp_path / "alien", 1, "wqkv")}
    spec = msgspec.structs.replace(tiny_spec(tiny_folder, Setup()), adapters=adapters)
    with pytest.raises(ModelLoadFailed, match=r"'alien' can't be loaded.*wqkv") as caught:
        await WorkerClient(spec, program=vllm_program).start()
    assert str(tmp_path) not in str(caught.value)

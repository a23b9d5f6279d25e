"""A model of vLLM as a replica of a fleet, without Ray."""

import os
from functools import partial
from pathlib import Path

import pytest
from tests.fleet.in_process import SPEC, LocalReplicas
from tests.fleet.test_connection import ask, begin, text_of
from tests.vllm.test_lives import LONG

from myna.core.errors import EngineDead
from myna.core.requests import GenerationRequest, Sampling
from myna.fleet.config import ReplicaSpec
from myna.fleet.front import FleetConnection
from myna.fleet.node import start_replica
from myna.scheduling.admission import QueueLimits
from myna.workers.client import WorkerClient
from myna.workers.program import WorkerProgram


async def test_it_answers_and_its_streams_end_with_it(
    vllm_program: WorkerProgram, tiny_folder: Path, tmp_path: Path
) -> None:
    """Another replica would give other tokens, so that no stream goes on there."""
    spec = ReplicaSpec(
        "tiny",
        str(tiny_folder),
        "vllm",
        str(tmp_path),
        memory_bytes=8 << 20,
        threads=1,
        options={"enforce_eager": True, "dtype": "float32"},
        vllm_python=os.environ["TEST_VLLM_PYTHON"],
    )
    replica = await start_replica(spec, "r", "here")
    replicas = LocalReplicas()
    replicas.replicas["r"] = replica
    client = WorkerClient(SPEC, QueueLimits(), connect=partial(FleetConnection, "tiny", replicas))
    try:
        await client.start()
        assert replica.description.weights
        assert not replica.description.identity
        assert client.info.engine == "vllm"
        short = GenerationRequest("short", (1, 2, 3), 8, sampling=Sampling(temperature=0), ignore_eos=True)
        assert text_of(await ask(client, short)) == text_of(await ask(client, short)) != ""
        stream = await client.generate(LONG)
        await begin(stream)
        await replicas.remove("r")
        with pytest.raises(EngineDead):
            [event async for event in stream]
    finally:
        await client.aclose()
        await replicas.aclose()

"""The scheduler's service in this process, for the modules that talk to it."""

from collections.abc import AsyncIterator

import pytest

from myna.scheduling.in_process import InProcessGenerator
from myna.workers.frames import WorkerSpec
from myna.workers.loading import load_model


@pytest.fixture
async def service() -> AsyncIterator[InProcessGenerator]:
    """With the fake engine."""
    service = InProcessGenerator(lambda: load_model(WorkerSpec("fake", "fake")))
    await service.start()
    yield service
    await service.aclose()

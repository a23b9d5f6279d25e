"""The scheduler's service in this process, for the modules that talk to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from myna.scheduling.in_process import InProcessGenerator
from myna.workers.frames import WorkerSpec
from myna.workers.loading import load_model


@asynccontextmanager
async def fake_service() -> AsyncIterator[InProcessGenerator]:
    service = InProcessGenerator(lambda: load_model(WorkerSpec("fake", "fake")))
    await service.start()
    yield service
    await service.aclose()


@pytest.fixture
async def service() -> AsyncIterator[InProcessGenerator]:
    """With the fake engine."""
    async with fake_service() as service:
        yield service


@pytest.fixture
async def other() -> AsyncIterator[InProcessGenerator]:
    """Another like it."""
    async with fake_service() as service:
        yield service

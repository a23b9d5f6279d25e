"""A new official client for each test, on the server of each file."""

from collections.abc import Iterator

import pytest
from openai import OpenAI
from tests.e2e.server import KEY, ServerProcess


@pytest.fixture
def client(server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client:
        yield client

"""A generator of each row, shared by the tests of one module."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.contract.rows import ROWS, FindModel, Row, Setup, Subject


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: row.name.replace(" ", "-"))
def row(request: pytest.FixtureRequest) -> Row:
    """For tests that open a generator of their own."""
    found: Row = request.param
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subject(row: Row, model_path: FindModel) -> AsyncIterator[Subject]:
    """A generator that other tests have used: leave nothing running."""
    async with row.open(Setup(), model_path) as opened:
        yield opened

"""Every store of every kind passes the same tests."""

from pathlib import Path

import pytest


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store: in memory, in a file, on a real PostgreSQL."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    return {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/myna.db"}[request.param]

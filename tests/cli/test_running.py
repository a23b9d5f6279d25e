"""What `myna serve` puts together, in this process."""

import gc

import pytest
import uvicorn
from tests.http.scripted import ScriptedGenerator, pool_of

from myna.cli.running import _load_first
from myna.http.middleware import Gate
from myna.http.server import Server


async def test_the_collector_leaves_alone_what_was_there_before_the_first_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Server(uvicorn.Config(app="unused"), Gate(), drain_s=0, on_start=lambda: None)
    gc.unfreeze()
    try:
        await _load_first(pool_of(ScriptedGenerator([])), "tiny", server, lambda has_chat: None)
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
    assert "tiny" in capsys.readouterr().err

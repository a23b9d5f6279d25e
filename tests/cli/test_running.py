"""What `myna serve` puts together, in this process."""

import asyncio
import gc

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from tests.http.scripted import ScriptedGenerator, pool_of

from myna.cli.first_model import announce, load_first
from myna.cli.running import http_options
from myna.http.middleware import RequestTracker
from myna.http.server import Server, server_config
from myna.settings import Settings


async def test_the_collector_leaves_alone_what_was_there_before_the_first_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Server(uvicorn.Config(app="unused"), RequestTracker(), drain_s=0, on_start=lambda: None)
    gc.unfreeze()
    gc.disable()  # as `run_server` does
    try:
        first = asyncio.create_task(load_first(pool_of(ScriptedGenerator([])), "tiny"))
        await announce(first, server, lambda has_chat: None)
        assert gc.get_freeze_count() > 10_000
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
    assert "tiny" in capsys.readouterr().err


def test_an_idle_connection_outlives_the_pools_of_clients() -> None:
    """Go keeps idle connections for 90 s, OkHttp for 300 s, Google's load balancer for 600 s."""
    options = http_options(Settings())
    assert server_config(_app, keep_alive_s=options.keep_alive_s).timeout_keep_alive > 600
    assert http_options(Settings(keep_alive_s=5.0)).keep_alive_s == 5.0


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("never called")


def test_containers_of_docker_desktop_need_a_key() -> None:
    assert "host.docker.internal" in http_options(Settings()).hosts
    assert "host.docker.internal" not in http_options(Settings(no_auth=True)).hosts

"""Connections stay below the limit of file descriptors, and slow or idle ones don't keep others out."""

import asyncio
import os
import subprocess
import sys

import pytest
from tests.http.live import request_bytes, running
from tests.http.scripted import ScriptedGenerator, pool_of, services, words

from myna.http.connection_limit import ConnectionLimit, max_connections


class Dropped:
    def __init__(self) -> None:
        self.num_drops = 0

    def drop(self) -> None:
        self.num_drops += 1


def test_the_longest_idle_connection_makes_room() -> None:
    limit = ConnectionLimit(2)
    busy, idle, newer = Dropped(), Dropped(), Dropped()
    for connection in (idle, busy):
        assert limit.open(connection)
        limit.idle(connection)
    limit.busy(busy)
    limit.idle(newer)
    assert limit.open(newer)
    assert (idle.num_drops, busy.num_drops, newer.num_drops) == (1, 0, 0)
    limit.close(idle)


def test_a_connection_is_rejected_if_all_others_have_requests(caplog: pytest.LogCaptureFixture) -> None:
    limit = ConnectionLimit(1)
    assert limit.open(Dropped())
    for _ in range(3):
        rejected = Dropped()
        limit.idle(rejected)
        assert not limit.open(rejected)
        limit.close(rejected)
    assert len(caplog.messages) == 1
    assert "file descriptors" in caplog.messages[0]


@pytest.mark.parametrize(("descriptors", "connections"), [(128, 64), (1024, 768), (65536, 49152), (32, 1)])
def test_some_descriptors_stay_free(descriptors: int, connections: int) -> None:
    assert max_connections(descriptors) == connections


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    program = (
        "import resource\n"
        "from myna.http.connection_limit import raise_descriptor_limit\n"
        "hard = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 300)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "assert raise_descriptor_limit() == hard\n"
        "assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=dict(os.environ))


async def test_silent_connections_do_not_keep_others_out() -> None:
    everything = services(pool_of(ScriptedGenerator([words("a"), words("b")])))
    async with running(everything, most_connections=3) as live:
        silent = [await live.send(b"GET /v1/models HT") for _ in range(6)]
        for _ in range(2):
            reply = await live.ask("GET", "/v1/models")
            assert reply.status == 200
        for connection in silent:
            await connection.close()


async def test_a_running_request_keeps_its_connection_and_a_new_one_gets_a_503() -> None:
    go = asyncio.Event()
    generator = ScriptedGenerator([[*words("a")[:1], go, *words("a")[1:]]])
    everything = services(pool_of(generator))
    body = b'{"model":"tiny"}'
    async with running(everything, most_connections=1) as live:
        first = await live.send(request_bytes("POST", "/v1/words", body))
        await generator.is_asked.wait()
        rejected = await live.ask("GET", "/v1/models")
        assert rejected.status == 503
        assert b"server_is_overloaded" in rejected.body
        go.set()
        assert (await first.reply()).status == 200

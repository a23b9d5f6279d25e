"""Shutdown: no new requests, running ones may finish, those that take too long get an error."""

import asyncio
from dataclasses import replace

import pytest
from tests.http.live import request_bytes, running
from tests.http.scripted import ScriptedGenerator, pool_of, services, words

from myna.core.errors import EngineDead
from myna.usage.metrics import Instruments

STREAMED = b'{"model": "tiny", "stream": true}'


async def test_running_requests_finish_and_new_ones_are_sent_away() -> None:
    more, steps = asyncio.Event(), words("a", "b")
    pool = pool_of(ScriptedGenerator([[*steps[:2], more, *steps[2:]]]))
    async with running(services(pool)) as live:
        stream = await live.send(request_bytes("POST", "/v1/words", STREAMED))
        assert (await stream.head())[0] == 200
        assert await stream.chunk() == b"data: 0:a\n\n"
        live.server.stop()
        await asyncio.sleep(0)
        turned_away = await live.ask("POST", "/v1/words", STREAMED)
        probe = await live.ask("GET", "/ready")
        alive = await live.ask("GET", "/health")
        more.set()
        assert await stream.chunk() == b"data: 0:b\n\ndata: end\n\ndata: [DONE]\n\n"
        assert await stream.chunk() == b""
        await live.serving
        await stream.close()
    assert turned_away.status == 503
    assert turned_away.headers["retry-after"] == "1"
    assert (probe.status, probe.body) == (503, b'{"status":"draining"}')
    assert alive.status == 200


async def test_a_request_that_runs_over_the_time_is_cut_with_an_error_event() -> None:
    never = asyncio.Event()
    pool = pool_of(ScriptedGenerator([[*words("a")[:2], never]]))
    async with running(services(pool), drain_s=0.0) as live:
        stream = await live.send(request_bytes("POST", "/v1/words", STREAMED))
        await stream.head()
        await stream.chunk()
        live.server.stop()
        last = await stream.chunk()
        assert last.startswith(b'data: {"error"')
        assert last.endswith(b"data: [DONE]\n\n")
        await live.serving
        await stream.close()


async def test_a_whole_answer_that_runs_over_the_time_is_a_503() -> None:
    generator = ScriptedGenerator([[asyncio.Event()]])
    async with running(services(pool_of(generator)), drain_s=0.0) as live:
        connection = await live.send(request_bytes("POST", "/v1/words", b'{"model": "tiny"}'))
        await generator.is_asked.wait()
        live.server.stop()
        reply = await connection.reply()
        await live.serving
    assert reply.status == 503


async def test_readiness_is_a_loaded_model() -> None:
    generator = ScriptedGenerator([words("a")])
    async with running(services(pool_of(generator))) as live:
        before = await live.ask("GET", "/ready")
        await live.ask("POST", "/v1/words", STREAMED)
        after = await live.ask("GET", "/ready")
        generator.is_ready = False  # its worker died and is being restarted
        down = await live.ask("GET", "/ready")
    assert (before.status, before.body) == (503, b'{"status":"loading"}')
    assert (after.status, after.body) == (200, b'{"status":"ready"}')
    assert (down.status, down.body) == (503, b'{"status":"unresponsive"}')


async def test_a_second_signal_cuts_what_runs() -> None:
    pool = pool_of(ScriptedGenerator([[*words("a")[:2], asyncio.Event()]]))
    async with running(services(pool)) as live:
        stream = await live.send(request_bytes("POST", "/v1/words", STREAMED))
        await stream.head()
        await stream.chunk()
        live.server.stop()
        live.server.stop()
        assert (await stream.chunk()).endswith(b"data: [DONE]\n\n")
        await live.serving
        await stream.close()


async def test_a_server_that_can_not_drain_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:

        async def fail(drain_s: float) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(live.server._tracker, "drain", fail)
        live.server.stop()
        await live.serving
    assert "RuntimeError: a bug" in caplog.text


class Closing(Instruments):
    """A watcher that notes that it was closed, and then fails."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True
        raise RuntimeError("a bug")


async def test_what_fails_while_it_is_closed_keeps_nothing_else_open() -> None:
    observers = (Closing(), Closing())
    made = services(pool_of(ScriptedGenerator([])))
    made = replace(made, usage_sinks=replace(made.usage_sinks, observers=observers))
    async with running(made) as live:
        live.server.stop()
        await live.serving
    assert [watcher.is_closed for watcher in observers] == [True, True]
    with pytest.raises(RuntimeError):
        made.text_threads.submit(int)


async def test_the_log_of_a_bug_has_its_traceback_and_an_expected_failure_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = pool_of(ScriptedGenerator([EngineDead("the worker is gone")]))
    async with running(services(pool)) as live:
        await live.ask("POST", "/v1/words", b'{"model": "tiny"}')
        assert "the worker is gone" in caplog.text
        assert "Traceback" not in caplog.text
        await live.ask("POST", "/v1/fail", b"{}")
        assert "ZeroDivisionError" in caplog.text

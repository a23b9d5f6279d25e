"""Templates in processes of their own: killed when they must be, replaced, and never blocking others."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from tests.prompts.rendering_server import ENDLESS

from myna.core.confinement import missing
from myna.core.errors import Overloaded
from myna.prompts.render_pool import RenderLimits, RenderPool, TemplateFault
from myna.prompts.template_bounds import TemplateOutOfBounds
from myna.prompts.template_sandbox import TemplateRefusal

SERVER = Path(__file__).with_name("rendering_server.py")
TOO_MUCH = "{% set a = [0] * 33000000 %}{% set b = [0] * 33000000 %}"  # the second does not fit


@pytest.fixture
def pool() -> Iterator[RenderPool]:
    pool = RenderPool(RenderLimits(cpu_s=1.0), size=2)
    yield pool
    pool.close()
    assert pool.pids == []


def test_one_process_renders_what_comes_after_each_other(pool: RenderPool) -> None:
    assert pool.render("{{ a }}", {"a": 1}) == "1"
    first = pool.pids
    assert [pool.render("{{ a }}!", {"a": "é"}), pool.render("{{ a }}", {"a": 2})] == ["é!", "2"]
    assert pool.pids == first
    assert len(first) == 1


def test_values_that_few_formats_carry_arrive(pool: RenderPool) -> None:
    values = {"n": 10**40, "s": "\ud83d", "f": float("inf"), "deep": [{"a": [None, True]}]}
    assert pool.render("{{ n + 1 }} {{ s }} {{ f }} {{ deep[0].a }}", values) == (
        f"{10**40 + 1} \ud83d inf [None, True]"
    )


def test_what_a_template_raises_comes_back(pool: RenderPool) -> None:
    with pytest.raises(TemplateRefusal, match=r"^no$"):
        pool.render("{{ raise_exception('no') }}", {})
    with pytest.raises(TemplateFault, match=r"^UndefinedError$"):
        pool.render("{{ a.b.c }}", {})
    with pytest.raises(TemplateFault, match=r"^TemplateSyntaxError$"):
        pool.render("{% if %}", {})
    with pytest.raises(TemplateFault, match=r"^RecursionError$"):
        pool.render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", {})


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (ENDLESS, "took too long"),
        ("{{ ((range(99999) | list) * 100) | sort | length }}", "took too long"),
        (TOO_MUCH, "too much memory"),
    ],
)
def test_a_template_out_of_bounds_loses_its_process_and_nothing_else(
    source: str, why: str, pool: RenderPool
) -> None:
    pool.render("", {})
    first = pool.pids
    with pytest.raises(TemplateOutOfBounds, match=why):
        pool.render(source, {})
    assert pool.pids == []
    assert pool.render("{{ a }}", {"a": 1}) == "1"
    assert pool.pids != first


def test_a_process_that_was_killed_while_it_waited_is_replaced(pool: RenderPool) -> None:
    pool.render("", {})
    (pid,) = pool.pids
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert pool.render("{{ a }}", {"a": 1}) == "1"


def test_a_process_that_is_stopped_is_replaced(pool: RenderPool) -> None:
    pool.render("", {})
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    assert pool.render("{{ a }}", {"a": 1}) == "1"
    assert pid not in pool.pids


def test_a_template_is_not_blamed_for_a_process_that_was_killed_at_work(pool: RenderPool) -> None:
    """It is rendered by another one, which finds out what is wrong with it."""
    pool.render("", {})
    (pid,) = pool.pids
    with ThreadPoolExecutor(1) as thread:
        render = thread.submit(pool.render, ENDLESS, {})
        while pool.pids:
            pass
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(TemplateOutOfBounds, match="took too long"):
            render.result()


def test_a_render_is_given_up_when_the_second_process_is_killed(pool: RenderPool) -> None:
    with ThreadPoolExecutor(1) as thread:
        render = thread.submit(pool.render, ENDLESS, {})
        while not render.done():
            for process in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    if "myna.prompts.render_process" in process.cmdline():
                        process.kill()
        with pytest.raises(Overloaded):
            render.result()


def test_one_template_holds_up_one_thread_and_nobody_else() -> None:
    pool = RenderPool(RenderLimits(cpu_s=3.0), size=3)
    with ThreadPoolExecutor(2) as threads:
        hostile = [threads.submit(pool.render, ENDLESS, {}) for _ in range(2)]
        assert pool.render("{{ a }}", {"a": 1}) == "1"
        assert not any(render.done() for render in hostile)
        kinds = {type(render.exception()) for render in hostile}
    assert kinds == {Overloaded, TemplateOutOfBounds}
    pool.close()


def test_renders_at_once_wait_for_a_place(pool: RenderPool) -> None:
    with ThreadPoolExecutor(8) as threads:
        renders: list[Future[str]] = [threads.submit(pool.render, "{{ a }}", {"a": i}) for i in range(64)]
        assert [render.result() for render in renders] == [str(i) for i in range(64)]
    assert 1 <= len(pool.pids) <= 2


def test_no_secret_is_in_its_environment(pool: RenderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYNA_API_KEY", "hidden")
    pool.render("", {})
    assert b"MYNA_API_KEY" not in Path(f"/proc/{pool.pids[0]}/environ").read_bytes()


@pytest.mark.skipif(bool(missing()), reason="this system can't confine processes")
def test_it_is_confined(pool: RenderPool) -> None:
    pool.render("", {})
    (state,) = (path.read_text() for path in Path(f"/proc/{pool.pids[0]}/task").glob("*/status"))
    assert "NoNewPrivs:\t1" in state
    assert "Seccomp:\t2" in state


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="process files are Linux's")
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_no_process_outlives_a_killed_server(state: str) -> None:
    with subprocess.Popen([sys.executable, str(SERVER), state], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        process_file = os.pidfd_open(int(server.stdout.readline()))
        try:
            if state == "busy":
                assert server.stdout.readline() == b"rendering\n"
            server.send_signal(signal.SIGKILL)
            assert select.select([process_file], [], [], 60)[0]  # the bound is for failures only
        finally:
            os.close(process_file)

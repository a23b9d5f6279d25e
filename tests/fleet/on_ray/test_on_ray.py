"""The fleet on a real Ray cluster of this machine, run by `make test-fleet`: a head, and replicas of the fake
engine, which are killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.fleet.test_connection import ask, begin, request, text_of, tokens_of

from myna.core.errors import OperatorError
from myna.fleet.config import FleetModelConfig, ReplicaSpec
from myna.fleet.front import FleetConnection
from myna.fleet.token import use_token
from myna.scheduling.admission import QueueLimits
from myna.workers.client import WorkerClient
from myna.workers.frames import WorkerSpec

# Not imported before the token is set. Ray warns of itself.
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: make test-fleet")
pytestmark = [needs_ray, pytest.mark.filterwarnings("ignore")]
_ADDRESS = "127.0.0.1:6391"
_LONG = request("[[slow 20]] a long answer", 200)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`fleet.on_ray.cluster`, connected, with two replicas of the model `fake`."""
    folder = tmp_path_factory.mktemp("ray")
    use_token(folder / "token")
    log = folder / "head.log"
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--port=6391", "--block"]
    options = ["--num-cpus=4", "--include-dashboard=false", "--object-store-memory=100000000"]
    with log.open("wb") as output:
        head = subprocess.Popen([*command, *options], stdout=output, stderr=output, start_new_session=True)
    try:
        while "block forever" not in log.read_text():
            with suppress(subprocess.TimeoutExpired):
                head.wait(0.2)
            assert head.poll() is None, log.read_text()
        from myna.fleet.on_ray import cluster as opened

        opened.connect(_ADDRESS)
        _deploy(opened, 2)
        yield opened
        opened.leave()
    finally:
        with suppress(psutil.NoSuchProcess):  # it did not start
            family = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
            head.send_signal(signal.SIGTERM)
            for one in psutil.wait_procs(family, timeout=20)[1]:
                one.kill()
        head.wait()


def _deploy(cluster: Any, replicas: int) -> None:
    config = FleetModelConfig(engine="fake", replicas=replicas, cpus=0.5)
    cluster.deploy({"fake": config}, {"fake": ReplicaSpec("fake", "fake", "fake", "")})
    while cluster.state().models.get("fake") != {"RUNNING": replicas} or not cluster.state().running:
        pass


@pytest.fixture
async def client(cluster: Any) -> AsyncIterator[WorkerClient]:
    from myna.fleet.on_ray.replicas import RayReplicas

    replicas = await asyncio.to_thread(RayReplicas, "fake")
    opened = WorkerClient(
        WorkerSpec("fleet", "fake"), QueueLimits(), connect=partial(FleetConnection, "fake", replicas)
    )
    await opened.start()
    yield opened
    await opened.aclose()


def workers() -> dict[int, float]:
    """The processor time of each replica's worker process."""
    times = {}
    for process in psutil.process_iter(["cmdline"]):
        if "myna.workers.main" in (process.info["cmdline"] or []):
            parent = process.parent()
            if parent is not None and "ServeReplica:myna:fake" in " ".join(parent.cmdline()):
                times[process.pid] = sum(process.cpu_times()[:2])
    return times


async def busy_worker() -> int:
    """The worker that computes now."""
    before = workers()
    while True:
        await asyncio.sleep(0)
        for pid, spent in workers().items():
            if spent > before.get(pid, spent) + 0.02:
                return pid


@pytest.mark.allows_slow_callbacks("looks for processes")
@pytest.mark.parametrize("what", ["worker", "replica"])
async def test_a_stream_goes_on_when_its_replica_is_killed(
    cluster: Any, client: WorkerClient, what: str
) -> None:
    reference = await ask(client, _LONG)
    stream = await client.generate(_LONG)
    events = await begin(stream)
    worker = await busy_worker()
    os.kill(worker if what == "worker" else psutil.Process(worker).ppid(), signal.SIGKILL)
    events += [event async for event in stream]
    assert text_of(events) == text_of(reference)
    assert tokens_of(events) == tokens_of(reference)
    await asyncio.to_thread(_deploy, cluster, 2)


@pytest.mark.allows_slow_callbacks("looks for processes")
async def test_a_replica_that_hangs_holds_no_new_requests_up(cluster: Any, client: WorkerClient) -> None:
    """They are answered by the other one, long before Ray replaces the replica."""
    await asyncio.gather(*(ask(client, request(f"{number} link", 4)) for number in range(12)))
    hung = psutil.Process(next(iter(workers()))).parent()
    assert hung is not None
    hung.suspend()
    try:
        answers = await asyncio.gather(
            *(ask(client, request(f"{number} while it hangs")) for number in range(12))
        )
        assert all(text_of(events) for events in answers)
        assert hung.status() == psutil.STATUS_STOPPED
    finally:
        hung.kill()
    await asyncio.to_thread(_deploy, cluster, 2)


async def test_many_requests_and_the_engines_own_tokenizer(client: WorkerClient) -> None:
    answers = await asyncio.gather(*(ask(client, request(f"question {number}")) for number in range(40)))
    assert all(text_of(events) for events in answers)
    assert await client.tokenize("a bird", parse_special=False)


@pytest.mark.allows_slow_callbacks("looks for processes")
async def test_a_cancelled_request_stops_at_the_replica(client: WorkerClient) -> None:
    stream = await client.generate(request("[[slow 20]]", 5000))
    await begin(stream)
    await stream.aclose()
    answer = await ask(client, request("[[slow 1]] the next"))
    assert text_of(answer)
    while client.last_stats is None or client.last_stats.num_running:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def test_requests_wait_while_there_is_no_replica(cluster: Any, client: WorkerClient) -> None:
    assert text_of(await ask(client, request("before")))
    await asyncio.to_thread(cluster.remove, "fake")
    answer = asyncio.create_task(ask(client, request("later")))
    await asyncio.to_thread(_deploy, cluster, 2)
    assert text_of(await answer)


def test_a_machine_that_is_not_there_is_not_drained(cluster: Any) -> None:
    with pytest.raises(OperatorError, match="no machine"):
        cluster.drain("192.0.2.77")


def test_the_token_is_asked_for(cluster: Any, tmp_path: Path) -> None:
    """Somebody else's token gets nowhere."""
    other = tmp_path / "token"
    other.write_text("0" * 64)
    environment = {
        **os.environ,
        "RAY_AUTH_TOKEN_PATH": str(other),
        "RAY_gcs_rpc_server_connect_timeout_s": "1",
    }
    code = f"import ray; ray.init('{_ADDRESS}', log_to_driver=False)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode

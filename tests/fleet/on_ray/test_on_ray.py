"""The fleet on a real Ray cluster of this machine, run by `make test-fleet`: a head, and replicas of the fake
engine, which are killed."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import psutil
import pytest
from tests.fleet.on_ray.machine import machine
from tests.fleet.test_connection import ask, begin, request, text_of, tokens_of

from myna.core.errors import OperatorError
from myna.fleet.config import Autoscaling, FleetModelConfig, ReplicaSpec
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
_HEAD = ("--head", "--port=6391", "--include-dashboard=false", "--node-ip-address=127.0.0.1")
_SPEC = ReplicaSpec("fake", "fake", "fake", "")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`fleet.on_ray.cluster`, connected, with two replicas of the model `fake`."""
    folder = tmp_path_factory.mktemp("ray")
    use_token(folder / "token")
    with machine(folder / "head.log", *_HEAD):
        from myna.fleet.on_ray import cluster as opened

        opened.connect(_ADDRESS)
        _deploy(opened, 2)
        yield opened
        opened.leave()


def _config(replicas: int) -> FleetModelConfig:
    return FleetModelConfig(engine="fake", replicas=replicas, cpus=0.5)


def _deploy(cluster: Any, replicas: int) -> None:
    cluster.deploy({"fake": _config(replicas)}, {"fake": _SPEC})
    _wait_for(cluster, replicas)


def _wait_for(cluster: Any, replicas: int) -> None:
    """Until all of them run, and no others."""
    while (
        cluster.state().models.get("fake") != ({"RUNNING": replicas} if replicas else {})
        or not cluster.state().running
        or len(workers()) != replicas
    ):
        time.sleep(0.1)


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


@asynccontextmanager
async def asking(client: WorkerClient) -> AsyncIterator[None]:
    """Requests meanwhile, each of which must be answered."""
    is_over = asyncio.Event()

    async def ask_again(number: int) -> None:
        for turn in itertools.count():
            if is_over.is_set():
                return
            assert text_of(await ask(client, request(f"{number}, {turn} [[slow 2]]", 20)))

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(ask_again(number))
        yield
        is_over.set()


@pytest.mark.allows_slow_callbacks("looks for processes")
async def test_scaling_and_deploying_again_leave_running_replicas_alone(
    cluster: Any, client: WorkerClient
) -> None:
    async with asking(client):
        before = set(workers())
        await asyncio.to_thread(cluster.scale, _config(2), _SPEC, 3)
        await asyncio.to_thread(_wait_for, cluster, 3)
        three = set(workers())
        assert before < three
        await asyncio.to_thread(_deploy, cluster, 3)
        assert three == set(workers())
        await asyncio.to_thread(_deploy, cluster, 2)
        assert three > set(workers())


async def until_on(client: WorkerClient, are_right: Callable[[list[str]], bool]) -> None:
    """Until the machines of the linked replicas are."""
    while client.last_stats is None or not are_right([one.node for one in client.last_stats.replicas]):  # noqa: ASYNC110
        await asyncio.sleep(0.1)


@pytest.mark.allows_slow_callbacks("looks for processes")
async def test_replicas_are_on_two_machines_until_one_is_drained(
    cluster: Any, client: WorkerClient, tmp_path: Path
) -> None:
    there = "127.0.0.2"
    with machine(tmp_path / "other.log", f"--address={_ADDRESS}", f"--node-ip-address={there}"):
        async with asking(client):
            await asyncio.to_thread(_deploy, cluster, 2)
            await until_on(client, lambda nodes: len(nodes) == 2 and nodes.count(there) == 1)
            together = msgspec.structs.replace(_config(2), replicas_per_machine=2)
            await asyncio.to_thread(cluster.deploy, {"fake": together}, {"fake": _SPEC})
            await asyncio.to_thread(_wait_for, cluster, 2)
            before = set(workers())
            await asyncio.to_thread(cluster.scale, together, _SPEC, 4)
            await asyncio.to_thread(_wait_for, cluster, 4)
            assert before < set(workers())
            await asyncio.to_thread(cluster.scale, together, _SPEC, 2)
            await asyncio.to_thread(_wait_for, cluster, 2)
            await asyncio.to_thread(cluster.drain, there)
            await until_on(client, lambda nodes: len(nodes) == 2 and there not in nodes)
    await asyncio.to_thread(_deploy, cluster, 2)


async def test_a_model_that_nobody_asks_has_no_replica_until_somebody_does(
    cluster: Any, client: WorkerClient
) -> None:
    await asyncio.to_thread(_deploy_to_zero, cluster)
    await asyncio.to_thread(_wait_for, cluster, 0)
    assert text_of(await ask(client, request("wake up")))
    assert len(workers()) == 1
    await asyncio.to_thread(_deploy, cluster, 2)


def _deploy_to_zero(cluster: Any) -> None:
    """With the delays of a second that Ray otherwise counts in minutes."""
    from ray import serve

    from myna.fleet.on_ray.deployment import APP_PREFIX, application

    config = msgspec.structs.replace(_config(1), replicas=Autoscaling(0, 2, 2))
    deployment = application(_SPEC, config, None)._bound_deployment
    scaling = deployment._deployment_config.autoscaling_config.model_dump(exclude_unset=True)
    quick = dict.fromkeys(("downscale_delay_s", "downscale_to_zero_delay_s", "metrics_interval_s"), 1.0)
    serve.run(
        serve.Application(
            deployment.options(autoscaling_config=scaling | quick | {"look_back_period_s": 2.0})
        ),
        name=APP_PREFIX + "fake",
        route_prefix=None,
    )


async def test_requests_wait_while_there_is_no_replica(cluster: Any, client: WorkerClient) -> None:
    assert text_of(await ask(client, request("before")))
    await asyncio.to_thread(cluster.remove, "fake")
    answer = asyncio.create_task(ask(client, request("later")))
    await asyncio.to_thread(_deploy, cluster, 2)
    assert text_of(await answer)


def test_what_could_not_be_started_is_tried_again(
    cluster: Any, model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    """Without a change of the settings: its file was missing."""
    path = tmp_path / "model.gguf"
    spec = ReplicaSpec("late", str(path), "native", str(tmp_path), 256, 64 << 20, 1)
    config = FleetModelConfig(engine="native", cpus=0.1)
    cluster.deploy({"late": config}, {"late": spec})
    while "late" not in cluster.state().failures:
        time.sleep(0.1)
    path.symlink_to(model_path("smollm2-135m-instruct"))
    cluster.deploy({"late": config}, {"late": spec})
    while "late" not in cluster.state().running:
        time.sleep(0.1)
    started = cluster._deployed("late").version
    cluster.deploy({"late": config}, {"late": spec})
    assert cluster._deployed("late").version == started  # nothing is replaced
    cluster.remove("late")


def test_nothing_asks_the_head_in_an_endless_loop_while_it_is_away(cluster: Any) -> None:
    from ray._private.worker import global_worker, listen_error_messages

    polls = iter(((None, None), (None, None)))  # what Ray's subscriber returns at once without a head
    subscriber = SimpleNamespace(subscribe=lambda: None, poll=lambda: next(polls))
    asking = SimpleNamespace(gcs_error_subscriber=subscriber, current_job_id=global_worker.current_job_id)
    listen_error_messages(asking, global_worker.threads_stopped)
    assert global_worker.listener_thread.name == "ray_listen_error_messages"


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

"""Connecting to a Ray cluster, and deploying, listing and removing the models of a fleet."""

import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import ray
from ray import serve
from ray._private import worker as _worker
from ray.serve.context import _get_global_client

from myna.core.errors import OperatorError
from myna.core.translatable import N_
from myna.fleet.config import FleetModelConfig, ReplicaSpec
from myna.fleet.on_ray.deployment import APP_PREFIX, DEPLOYMENT, application, attempt_of
from myna.fleet.spreading import most_per_machine, most_when_scaled

_NAMESPACE: Final = "myna"
_DRAIN_S: Final = 30


class FleetState(NamedTuple):
    """`models`: the states of a model's replicas by its id. `nodes`: the address of each living machine, and
    what Ray has of it in total. `running` are the models whose replicas all run, `failures` why others can't
    be started."""

    models: Mapping[str, Mapping[str, int]]
    nodes: Mapping[str, Mapping[str, float]]
    running: Sequence[str]
    failures: Mapping[str, str]


def connect(address: str) -> None:
    """Join the cluster; blocking. Raises `OperatorError`."""
    try:
        ray.init(
            address,
            namespace=_NAMESPACE,
            ignore_reinit_error=True,
            configure_logging=False,
            log_to_driver=False,
        )
    except Exception as exc:
        raise OperatorError(
            N_("The Ray cluster at {address} can't be reached: {reason}", address=address, reason=_line(exc))
        ) from exc
    # Ray's thread that prints errors of the cluster asks for the next one in an endless loop while the head
    # is away, which takes a core and the interpreter from everything else. This ends it when it wakes up.
    _worker.global_worker.threads_stopped.set()


def deploy(models: Mapping[str, FleetModelConfig], specs: Mapping[str, ReplicaSpec]) -> None:
    """Deploy these models, or change what is deployed, without waiting for the replicas; blocking."""
    machines = _machines().values()
    _run([_Wanted(specs[model], one, most_per_machine(one, machines)) for model, one in models.items()])


def scale(config: FleetModelConfig, spec: ReplicaSpec, replicas: int) -> None:
    """Change the number of replicas to other than the settings', without waiting for them; blocking."""
    found = _deployed(spec.model)
    deployed = found.replica_config.max_replicas_per_node if found is not None else None
    most = most_when_scaled(config, _machines().values(), replicas, deployed)
    scaled = msgspec.structs.replace(config, replicas=replicas)
    _run([_Wanted(spec, scaled, most)])


class _Wanted(NamedTuple):
    spec: ReplicaSpec
    config: FleetModelConfig
    most_per_machine: int | None


def _run(wanted: Sequence[_Wanted]) -> None:
    serve.start(proxy_location="Disabled")
    known = serve.status().applications
    targets = []
    for one in wanted:
        name = APP_PREFIX + one.spec.model
        has_failed = name in known and known[name].status == "DEPLOY_FAILED"
        found = _deployed(one.spec.model)
        # For a version that has failed, Ray would do nothing; one that runs stays the same attempt.
        attempt = secrets.token_hex(4) if has_failed else attempt_of(found.version if found else None)
        targets.append(serve.RunTarget(application(*one, attempt), name=name, route_prefix=None))
    serve.run_many(targets, wait_for_applications_running=False)


def _deployed(model: str) -> Any:
    """What Ray's controller was told last about the model; None if it is not deployed."""
    client = _get_global_client(raise_if_no_controller_running=False)
    try:
        return client.get_deployment_info(DEPLOYMENT, APP_PREFIX + model)[0] if client else None
    except KeyError:
        return None


def state() -> FleetState:
    """What runs now; blocking."""
    models: dict[str, Mapping[str, int]] = {}
    running, failures = [], {}
    for name, app in serve.status().applications.items():
        if not name.startswith(APP_PREFIX):
            continue
        model, deployment = name.removeprefix(APP_PREFIX), app.deployments.get(DEPLOYMENT)
        models[model] = (
            {str(key): num for key, num in deployment.replica_states.items()} if deployment else {}
        )
        if app.status == "RUNNING":
            running.append(model)
        elif app.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            failures[model] = deployment.message if deployment and deployment.message else app.message
    return FleetState(models, _machines(), running, failures)


def _machines() -> dict[str, dict[str, float]]:
    """What each living machine has, by its address."""
    return {node["NodeManagerAddress"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def remove(model: str) -> None:
    """Stop all replicas of the model; blocking."""
    serve.delete(APP_PREFIX + model)


def drain(address: str) -> None:
    """Move all replicas off the machine; blocking. Raises `OperatorError`."""
    found = [
        node["NodeID"] for node in ray.nodes() if node["NodeManagerAddress"] == address and node["Alive"]
    ]
    if not found:
        raise OperatorError(N_("The fleet has no machine {address}.", address=address))
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--node-id", found[0]]
    reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "myna fleet drain"]
    server = ray.get_runtime_context().gcs_address
    options = ["--address", server, "--deadline-remaining-seconds", str(_DRAIN_S)]
    done = subprocess.run([*command, *reason, *options], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise OperatorError(N_("Ray refused: {reason}", reason=done.stderr.strip().splitlines()[-1:]))


def leave() -> None:
    """Leave the cluster."""
    ray.shutdown()


def _line(exc: Exception) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]

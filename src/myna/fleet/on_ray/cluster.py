"""Connecting to a Ray cluster, and deploying, listing and removing the models of a fleet."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import ray
from ray import serve

from myna.core.errors import OperatorError
from myna.core.translatable import N_
from myna.fleet.config import FleetModelConfig
from myna.fleet.node import ReplicaSpec
from myna.fleet.on_ray.deployment import APP_PREFIX, DEPLOYMENT, application

_NAMESPACE: Final = "myna"


class FleetState(NamedTuple):
    """`models`: the states of a model's replicas by its id. `nodes`: the address of each living machine, and
    what Ray has of it in total."""

    models: Mapping[str, Mapping[str, int]]
    nodes: Mapping[str, Mapping[str, float]]


def use_token(path: Path) -> None:
    """Whoever reaches Ray runs code on all its machines, so that it asks for a token. A file that is missing
    is written; it must be the same on all machines. Settings of the environment come first."""
    if os.environ.setdefault("RAY_AUTH_MODE", "token") != "token" or "RAY_AUTH_TOKEN" in os.environ:
        return
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(32))
    os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(path))


def connect(address: str) -> None:
    """Join the cluster; blocking. Raises `OperatorError`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
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


def deploy(models: Mapping[str, FleetModelConfig], specs: Mapping[str, ReplicaSpec]) -> None:
    """Deploy these models, or change what is deployed, without waiting for the replicas; blocking."""
    serve.start(proxy_location="Disabled")
    targets = [
        serve.RunTarget(application(specs[model], config), name=APP_PREFIX + model, route_prefix=None)
        for model, config in models.items()
    ]
    serve.run_many(targets, wait_for_applications_running=False)


def state() -> FleetState:
    """What runs now; blocking."""
    models: dict[str, Mapping[str, int]] = {}
    for name, app in serve.status().applications.items():
        if name.startswith(APP_PREFIX):
            deployment: Any = app.deployments.get(DEPLOYMENT)
            models[name.removeprefix(APP_PREFIX)] = dict(deployment.replica_states) if deployment else {}
    nodes = {node["NodeManagerAddress"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
    return FleetState(models, nodes)


def remove(model: str) -> None:
    """Stop all replicas of the model; blocking."""
    serve.delete(APP_PREFIX + model)


def _line(exc: Exception) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]

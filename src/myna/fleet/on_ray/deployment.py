"""The deployment of Ray Serve that owns one worker, and the application of one model."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import msgspec
import ray.util
from ray import serve

from myna import __version__
from myna.backends.vllm.environment import installed_python
from myna.core.requests import EmbeddingRequest, GenerationRequest
from myna.fleet.config import Autoscaling, FleetModelConfig, ReplicaSpec
from myna.fleet.messages import encode_description
from myna.fleet.model_head import ModelHead, encode_head
from myna.fleet.node import start_replica
from myna.fleet.on_ray.scaling import LINKS
from myna.fleet.replica import Replica

APP_PREFIX: Final = "myna:"
"""An application's name is this and the model's id."""
DEPLOYMENT: Final = "replica"
_POLICY: Final = "myna.fleet.on_ray.scaling:replicas_for_requests"
_ROUTER: Final = "myna.fleet.on_ray.router:PrefixRouter"
_LINKS: Final = 256
"""How many servers may have a link to a replica; to Ray, each is a call that lasts."""
_LINKS_COUNTED_S: Final = 5.0
_requests: Final = msgspec.msgpack.Decoder(GenerationRequest | EmbeddingRequest)


class FleetReplica:
    """What Ray starts, calls and replaces. Requests and descriptions cross as msgpack."""

    _replica: Replica

    async def __init__(self, spec: dict[str, Any]) -> None:  # type: ignore[misc]  # Ray awaits it
        self._spec = msgspec.convert(spec, ReplicaSpec)
        name = serve.get_replica_context().replica_id.unique_id
        self._replica = await start_replica(self._spec, name, ray.util.get_node_ip_address())

    async def check_health(self) -> None:
        if not self._replica.is_alive:
            raise RuntimeError("the worker process has ended")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        return {LINKS: len(self._replica.links)}

    record_routing_stats = record_autoscaling_stats

    async def describe(self) -> bytes:
        return encode_description(self._replica.description)

    async def head(self) -> bytes:
        """What servers need of the model's files."""
        return encode_head(await asyncio.to_thread(ModelHead.read, Path(self._spec.path)))

    async def link(self, server: str) -> AsyncGenerator[bytes, None]:
        stream = self._replica.link(server)
        try:
            async for data in stream:
                yield data
        finally:
            await stream.aclose()

    async def run(self, server: str, number: int, request: bytes, session: str) -> None:
        await self._replica.run(server, number, _requests.decode(request), session)

    async def tokenize(self, text: str, parse_special: bool) -> list[int]:
        return await self._replica.tokenize(text, parse_special=parse_special)

    async def __del__(self) -> None:
        await self._replica.aclose()


def application(
    spec: ReplicaSpec, config: FleetModelConfig, most_per_machine: int | None, attempt: str = ""
) -> serve.Application:
    """Of one model. All replicas are replaced when anything but `config` is another than before."""
    replicas = config.replicas
    scaling: dict[str, Any] = {"num_replicas": replicas}
    if isinstance(replicas, Autoscaling):
        scaling = {
            "autoscaling_config": {
                "min_replicas": replicas.min,
                "max_replicas": replicas.max,
                "initial_replicas": max(1, replicas.min),
                "target_ongoing_requests": replicas.requests,
                "policy": {"policy_function": _POLICY},
            }
        }
    deployment = serve.deployment(
        FleetReplica,
        name=DEPLOYMENT,
        max_ongoing_requests=config.requests + _LINKS,
        health_check_period_s=1,
        health_check_timeout_s=5,
        graceful_shutdown_timeout_s=30,
        max_replicas_per_node=most_per_machine,
        ray_actor_options={
            "num_cpus": config.cpus,
            "num_gpus": config.gpus,
            "resources": config.resources,
        },
        request_router_config={
            "request_router_class": _ROUTER,
            "request_routing_stats_period_s": _LINKS_COUNTED_S,
        },
        **scaling,
    )
    # By default each deployment is a new version to Ray, which restarts all replicas for it. Where they may
    # be placed is part of ours, since Ray would not notice another limit.
    version = hashlib.sha256(msgspec.json.encode((__version__, spec, most_per_machine))).hexdigest()
    versioned = deployment.options(version=f"{version} {attempt}", _internal=True)
    return versioned.bind(msgspec.to_builtins(spec))


def attempt_of(version: str | None) -> str:
    """Of a version of `application`; "" of any other."""
    return (version or "").partition(" ")[2]


def configured(args: dict[str, Any]) -> serve.Application:
    """For Serve's own configuration files, which KubeRay applies. `args` are the settings of a model's table
    in `[fleet.models]` and its `model`, and `home`, `vllm_python` and `adapters` as in `ReplicaSpec` if they
    matter."""
    model, home = args.pop("model"), args.pop("home", str(Path.home() / ".local/share/myna"))
    python = args.pop("vllm_python", str(installed_python(Path(home))))
    adapters = args.pop("adapters", {})
    config = msgspec.convert(args, FleetModelConfig)
    spec = ReplicaSpec.of(model, config, config.path or model, home, python, adapters)
    return application(spec, config, config.replicas_per_machine or None)

"""The example for Kubernetes: against the schemas of its resources, of Serve, and of our own settings."""

import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]

from myna.core.backend import Section
from myna.fleet.config import FleetModelConfig, read_section

FILE = Path(__file__).parents[2] / "deploy" / "kubernetes" / "fleet.yaml"
# Of KubeRay 1.6; its own schema of a pod is Kubernetes'.
SERVICE_FIELDS = {"serveConfigV2", "rayClusterConfig", "upgradeStrategy", "serveService"}
CLUSTER_FIELDS = {
    *("rayVersion", "enableInTreeAutoscaling", "autoscalerOptions", "authOptions"),
    *("headGroupSpec", "workerGroupSpecs", "gcsFaultToleranceOptions"),
}
WORKER_FIELDS = {
    *("groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template")
}


def documents() -> dict[tuple[str, str], dict[str, Any]]:
    found = list(yaml.safe_load_all(FILE.read_text(encoding="utf-8")))
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def ray_service() -> dict[str, Any]:
    spec: dict[str, Any] = documents()["RayService", "myna"]["spec"]
    return spec


def serve_config() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(ray_service()["serveConfigV2"])
    return config


def test_servers_offer_the_models_that_are_deployed() -> None:
    settings = tomllib.loads(documents()["ConfigMap", "myna-fleet"]["data"]["myna.toml"])
    config = read_section(Section(settings["fleet"], FILE.parent))
    applications = serve_config()["applications"]
    assert {one["name"] for one in applications} == {f"myna:{model}" for model in config.models}
    for one in applications:
        model = one["args"].pop("model")
        assert one["name"] == f"myna:{model}"
        assert msgspec.convert(one["args"], FleetModelConfig).path
        assert settings["model"] == model


def test_the_fields_are_kuberays() -> None:
    service, cluster = ray_service(), ray_service()["rayClusterConfig"]
    assert service.keys() <= SERVICE_FIELDS
    assert cluster.keys() <= CLUSTER_FIELDS
    assert cluster["headGroupSpec"].keys() <= {"rayStartParams", "template", "serviceType", "headService"}
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() <= WORKER_FIELDS
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_everybody_reads_the_same_secret() -> None:
    options = ray_service()["rayClusterConfig"]["authOptions"]
    container = documents()["Deployment", "myna"]["spec"]["template"]["spec"]["containers"][0]
    variables = {one["name"]: one for one in container["env"]}
    assert options == {"mode": variables["RAY_AUTH_MODE"]["value"], "secretName": "myna-ray-token"}
    secret = variables["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": options["secretName"], "key": "auth_token"}


@pytest.mark.skipif(find_spec("kubernetes_validate") is None, reason="kubernetes-validate is not installed")
def test_kubernetes_accepts_it() -> None:
    validator: Any = import_module("kubernetes_validate")
    cluster = ray_service()["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [
        {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": group["template"]}
        for group in groups
    ]
    own = [one for one in documents().values() if one["kind"] != "RayService"]
    assert {one["kind"] for one in own} == {"ConfigMap", "Deployment", "Service"}
    for one in own + pods:
        validator.validate(one, "1.33", strict=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: make test-fleet")
def test_serve_accepts_its_part() -> None:
    schema: Any = import_module("ray.serve.schema")
    config = schema.ServeDeploySchema.model_validate(serve_config())
    for one in config.applications:
        module, _, name = one.import_path.partition(":")
        assert getattr(import_module(module), name)(dict(one.args)) is not None

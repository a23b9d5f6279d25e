"""Reads the table `[fleet]` of myna.toml: the cluster, its models, their replicas."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from myna.core.backend import Section
from myna.core.errors import ConfigurationError
from myna.core.installation import install_command
from myna.core.paths import expand_user
from myna.core.translatable import N_
from myna.core.units import parse_bytes

_Count = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class Autoscaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Between so many replicas, for `requests` at once at each."""

    min: _Count
    max: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    requests: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 8


class FleetModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One model. `path` is its file on every machine that runs it; without one, the id is a model of Myna's
    catalog that was pulled there. `requests` are those that one replica runs at once; more wait at the
    servers. `cpus`, `gpus` and `resources` are what a replica takes of its machine, in Ray's terms; at most
    `replicas_per_machine` run on one (0: see `fleet.spreading`). `vllm` holds options of vLLM."""

    path: str = ""
    engine: str = "auto"
    replicas: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | Autoscaling = 1
    requests: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 64
    context: int = 0
    memory: str | int = 0
    threads: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 0
    cpus: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    gpus: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    resources: dict[str, float] = {}
    replicas_per_machine: _Count = 0
    vllm: dict[str, Any] = {}

    def __post_init__(self) -> None:
        parse_bytes(self.memory)

    @property
    def memory_bytes(self) -> int:
        return int(parse_bytes(self.memory))


class FleetConfig(msgspec.Struct, frozen=True):
    """`address` is that of Ray's head (`auto`: this machine's). `token_file` holds the token without which
    nobody may use the cluster; empty: a file in `home`."""

    address: str = "auto"
    token_file: str = ""
    models: dict[str, FleetModelConfig] = {}

    def token_path(self, home: Path) -> Path:
        return Path(self.token_file) if self.token_file else home / "fleet" / "token"


def ray_missing() -> ConfigurationError:
    return ConfigurationError(
        N_("Ray is not installed; install it with: {command}", command=install_command("fleet"))
    )


class ReplicaSpec(msgspec.Struct, frozen=True):
    """What a replica is told: the model's id, and as in `FleetModelConfig`. `home` is where hashes of files
    are kept, `options` are vLLM's, `vllm_python` is the interpreter that has it. `adapters` are the folders
    of LoRA adapters by their names."""

    model: str
    path: str
    engine: str
    home: str
    context_tokens: int = 0
    memory_bytes: int = 0
    threads: int = 0
    options: dict[str, Any] = {}
    vllm_python: str = ""
    adapters: dict[str, str] = {}

    @classmethod
    def of(
        cls,
        model: str,
        config: FleetModelConfig,
        path: str,
        home: str,
        vllm_python: str,
        adapters: Mapping[str, str],
    ) -> "ReplicaSpec":
        return cls(
            model,
            path,
            config.engine,
            home,
            context_tokens=config.context,
            memory_bytes=config.memory_bytes,
            threads=config.threads,
            options=config.vllm,
            vllm_python=vllm_python,
            adapters=dict(adapters),
        )


def read_section(section: object) -> FleetConfig:
    """Without the setting, a fleet without models. Raises `ConfigurationError`, naming the nearest valid
    name."""
    if not isinstance(section, Section):
        return FleetConfig()
    _check_names("fleet", section.values, FleetConfig.__struct_fields__)
    models = section.values.get("models", {})
    for model, value in models.items() if isinstance(models, Mapping) else ():
        if isinstance(value, Mapping):
            _check_names(f"fleet.models.{model}", value, FleetModelConfig.__struct_fields__)
    try:
        config = msgspec.convert(section.values, FleetConfig)
    except (msgspec.ValidationError, ValueError) as exc:
        raise ConfigurationError(N_("{where}: {reason}.", where="fleet", reason=exc)) from exc
    return msgspec.structs.replace(
        config,
        token_file=_resolved(section.folder, config.token_file),
        models={
            model: msgspec.structs.replace(one, path=_resolved(section.folder, one.path))
            for model, one in config.models.items()
        },
    )


def _resolved(folder: Path, path: str) -> str:
    return str(folder / expand_user(path)) if path else ""


def _check_names(where: str, values: Mapping[str, object], known: tuple[str, ...]) -> None:
    for name in values:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = N_("choose one of {names}.", names=", ".join(nearest or known))
            raise ConfigurationError(
                N_("Unknown setting {name} in {where}; {hint}", name=name, where=where, hint=hint)
            )

"""`myna fleet`: the models of a Ray cluster, which any number of servers offer."""

import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from myna.backends.vllm.environment import VllmEnvironment
from myna.catalog.lookup import find_local
from myna.catalog.store import ModelStore
from myna.cli.administration import show_columns, show_json
from myna.cli.backends import adapters_by_model
from myna.cli.console import note, say
from myna.cli.fleet_head import start_head, stop_head
from myna.core.errors import ConfigurationError, OperatorError
from myna.core.translatable import N_
from myna.fleet.config import FleetConfig, FleetModelConfig, ReplicaSpec, ray_missing, read_section
from myna.fleet.token import use_token
from myna.settings import Settings, load_settings

app = typer.Typer(
    no_args_is_help=True,
    help="""Run models on many machines, behind any number of servers.

    The table `[fleet]` of myna.toml says which models. `myna fleet up` starts them, here or on the Ray
    cluster that it names; `myna serve` with the same table serves them, without weights of its own.""",
)
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

_AUTO: Final = "auto"
_READY_S: Final = 600.0
_LOOK_AGAIN_S: Final = 1.0


@app.command()
def up(
    wait: Annotated[bool, typer.Option(help="Wait until all replicas run.")] = True,
) -> None:
    """Deploy the models of `[fleet]`, or update the running ones to match it.

    Without an `address` there, a Ray cluster is started on this machine if none is running. Other machines
    join it with `ray start --address=THIS:6379`, with the same token file.

    **Example** of myna.toml, for two replicas with a core each:

        model = "smollm2-135m-instruct"

        [fleet.models.smollm2-135m-instruct]
        replicas = 2
        threads = 1
    """
    settings, config = _settings()
    specs = {model: _spec(model, one, settings) for model, one in config.models.items()}
    cluster = _connected(settings, config, starts_head=True)
    cluster.deploy(config.models, specs)
    if wait:
        _wait_until_running(cluster, config.models)
    _show(cluster)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the fleet's models with the states of their replicas, and its machines."""
    settings, config = _settings()
    cluster = _connected(settings, config)
    if as_json:
        show_json(cluster.state()._asdict())
    else:
        _show(cluster)


@app.command()
def scale(
    model: Annotated[str, typer.Argument(help="The model's id.")],
    replicas: Annotated[int, typer.Argument(min=1, help="The number of replicas.")],
) -> None:
    """Change the number of a model's replicas until the next `myna fleet up`.

    Removed replicas finish their requests first.

    **Example**: `myna fleet scale smollm2-135m-instruct 4`
    """
    settings, config = _settings()
    if model not in config.models:
        raise ConfigurationError(
            N_("The fleet has no model {model!r}; its models: {names}", model=model, names=_names(config))
        )
    found = config.models[model]
    cluster = _connected(settings, config)
    cluster.scale(found, _spec(model, found, settings), replicas)
    _show(cluster)


@app.command()
def drain(
    address: Annotated[str, typer.Argument(help="The machine's address, as `myna fleet status` shows it.")],
) -> None:
    """Move all replicas off a machine, so that it can be stopped.

    Ray starts others elsewhere first, if there is room, and gives running requests 30 s.

    **Example**: `myna fleet drain 10.0.0.7`
    """
    settings, config = _settings()
    _connected(settings, config).drain(address)
    say(N_("The machine {address} takes no new replicas; its own are moving.", address=address))


@app.command()
def down() -> None:
    """Stop all models of the fleet, and the cluster if `myna fleet up` started it."""
    settings, config = _settings()
    cluster = _connected(settings, config)
    for model in cluster.state().models:
        cluster.remove(model)
    cluster.leave()
    stop_head(_folder(settings))
    say(N_("The fleet is down."))


def _settings() -> tuple[Settings, FleetConfig]:
    settings = load_settings()
    config = read_section(settings.fleet)
    if not config.models:
        raise ConfigurationError(
            N_("No models are set for the fleet: add a table [fleet.models.ID] to myna.toml.")
        )
    return settings, config


def _folder(settings: Settings) -> Path:
    return settings.home / "fleet"


def _connected(settings: Settings, config: FleetConfig, *, starts_head: bool = False) -> Any:
    """The module that talks to Ray, after it has joined the cluster."""
    use_token(config.token_path(settings.home))
    try:
        cluster: Any = import_module("myna.fleet.on_ray.cluster")
    except ImportError as exc:
        raise ray_missing() from exc
    if starts_head and config.address == _AUTO:
        start_head(_folder(settings))
    cluster.connect(config.address)
    return cluster


def _spec(model: str, config: FleetModelConfig, settings: Settings) -> ReplicaSpec:
    path = config.path
    if not path and config.engine == "fake":
        path = model
    if not path:
        found = find_local(model, ModelStore.at(settings.home))
        if found is None:
            raise OperatorError(
                N_("The model {model!r} is not here: run `myna pull {model}` on every machine.", model=model)
            )
        path = str(found.path)
    python = VllmEnvironment.of(settings.engines, settings.home).python
    adapters = {name: str(folder) for name, folder in adapters_by_model(settings).get(model, {}).items()}
    return ReplicaSpec.of(model, config, path, str(settings.home), str(python), adapters)


def _wait_until_running(cluster: Any, models: Mapping[str, FleetModelConfig]) -> None:
    """Raises `OperatorError` with Ray's reason if a model can't be started."""
    shown: object = None
    for _ in range(int(_READY_S / _LOOK_AGAIN_S)):
        state = cluster.state()
        if failed := {model: state.failures[model] for model in models if model in state.failures}:
            model, reason = next(iter(failed.items()))
            raise OperatorError(N_("{model} can't be started: {reason}", model=model, reason=reason))
        waiting = {model: state.models.get(model, {}) for model in models if model not in state.running}
        if not waiting:
            return
        if waiting != shown:
            shown = waiting
            for model, counts in waiting.items():
                note(N_("  {model}: {states}", model=model, states=_states(counts)))
        time.sleep(_LOOK_AGAIN_S)


def _show(cluster: Any) -> None:
    state = cluster.state()
    show_columns(
        {
            N_("MODEL"): list(state.models),
            N_("REPLICAS"): [_states(counts) for counts in state.models.values()],
        }
    )
    say("")
    show_columns(
        {
            N_("MACHINE"): list(state.nodes),
            N_("CORES"): [f"{node.get('CPU', 0):g}" for node in state.nodes.values()],
            N_("GPUS"): [f"{node.get('GPU', 0):g}" for node in state.nodes.values()],
        }
    )


def _states(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.lower()}" for name, count in counts.items() if count) or "0"


def _names(config: FleetConfig) -> str:
    return ", ".join(config.models)

"""How many replicas of a model may run on one machine, so that the death of one doesn't end all. Pure."""

import math
from collections.abc import Iterable, Mapping

from myna.fleet.config import Autoscaling, FleetModelConfig

Resources = Mapping[str, float]


def most_per_machine(
    config: FleetModelConfig, machines: Iterable[Resources], scaled_to: int = 0
) -> int | None:
    """None if there is nothing to spread. Of more than two machines, one may die, and the others have room
    for all replicas. More than that if it is needed for `scaled_to` replicas: Ray restarts all replicas when
    the number changes."""
    if config.replicas_per_machine:
        return config.replicas_per_machine
    replicas = config.replicas
    wanted = replicas.max if isinstance(replicas, Autoscaling) else replicas
    num_machines = sum(_has_room(config, machine) for machine in machines)
    if wanted < 2 or num_machines < 2:
        return None
    most = math.ceil(wanted / max(2, num_machines - 1))
    return max(most, math.ceil(scaled_to / num_machines))


def _has_room(config: FleetModelConfig, machine: Resources) -> bool:
    """For one replica, when nothing else runs there."""
    needed = {"CPU": config.cpus, "GPU": config.gpus, **config.resources}
    return all(machine.get(name, 0.0) >= amount for name, amount in needed.items())

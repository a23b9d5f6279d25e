"""How many replicas of a model may run on one machine, so that the death of one doesn't end all. Pure."""

import math
from collections.abc import Iterable, Mapping

from myna.fleet.config import Autoscaling, FleetModelConfig

Resources = Mapping[str, float]


def most_per_machine(config: FleetModelConfig, machines: Iterable[Resources]) -> int | None:
    """None if there is nothing to spread. Of more than two machines, one may die, and the others have room
    for all replicas."""
    if config.replicas_per_machine:
        return config.replicas_per_machine
    replicas = config.replicas
    wanted = replicas.max if isinstance(replicas, Autoscaling) else replicas
    num_machines = sum(_has_room(config, machine) for machine in machines)
    if wanted < 2 or num_machines < 2:
        return None
    return math.ceil(wanted / max(2, num_machines - 1))


def most_when_scaled(
    config: FleetModelConfig, machines: Iterable[Resources], replicas: int, deployed: int | None
) -> int | None:
    """For so many replicas: what was `deployed` (None: no limit), unless they need more. Ray replaces all
    replicas when it changes, since what they hold of their machines can't change while they run."""
    if config.replicas_per_machine or deployed is None:
        return config.replicas_per_machine or None
    num_machines = sum(_has_room(config, machine) for machine in machines)
    return max(deployed, math.ceil(replicas / max(1, num_machines)))


def _has_room(config: FleetModelConfig, machine: Resources) -> bool:
    """For one replica, when nothing else runs there."""
    needed = {"CPU": config.cpus, "GPU": config.gpus, **config.resources}
    return all(machine.get(name, 0.0) >= amount for name, amount in needed.items())

"""How many replicas of a model one machine may run."""

import pytest

from myna.fleet.config import Autoscaling, FleetModelConfig
from myna.fleet.spreading import most_per_machine, most_when_scaled

CORES = {"CPU": 4.0}
SERVERS_ONLY = {"CPU": 0.0}


@pytest.mark.parametrize(
    ("replicas", "num_machines", "expected"),
    [
        (3, 1, None),  # there is nowhere else
        (1, 4, None),
        (2, 2, 1),
        (3, 2, 2),
        (3, 3, 2),  # the two that are left have room for all
        (3, 4, 1),
        (12, 5, 3),
    ],
)
def test_the_death_of_a_machine_does_not_end_all(
    replicas: int, num_machines: int, expected: int | None
) -> None:
    config = FleetModelConfig(replicas=replicas)
    most = most_per_machine(config, [CORES] * num_machines)
    assert most == expected
    assert most is None or most * num_machines >= replicas > most


def test_machines_without_room_do_not_count() -> None:
    assert most_per_machine(FleetModelConfig(replicas=2), [CORES, SERVERS_ONLY]) is None
    on_gpus = FleetModelConfig(replicas=2, gpus=1)
    assert most_per_machine(on_gpus, [CORES, CORES, {"CPU": 4, "GPU": 8}]) is None
    assert most_per_machine(on_gpus, [CORES, {"CPU": 4, "GPU": 1}, {"CPU": 4, "GPU": 8}]) == 1


def test_a_range_of_replicas_is_spread_as_its_most() -> None:
    assert most_per_machine(FleetModelConfig(replicas=Autoscaling(0, 8)), [CORES] * 3) == 4


@pytest.mark.parametrize(
    ("replicas", "deployed", "expected"),
    [
        (2, 2, 2),
        (6, 2, 2),
        (7, 2, 3),
        (4, 3, 3),  # the way back of the one before
        (7, None, None),  # deployed when there was one machine
    ],
)
def test_the_number_stays_when_a_model_is_scaled_if_it_can(
    replicas: int, deployed: int | None, expected: int | None
) -> None:
    """Ray would replace all replicas for another."""
    config = FleetModelConfig(replicas=4)
    assert most_when_scaled(config, [CORES] * 3, replicas, deployed) == expected


def test_the_settings_come_first() -> None:
    config = FleetModelConfig(replicas=4, replicas_per_machine=4)
    assert most_per_machine(config, [CORES] * 4) == 4
    assert most_when_scaled(config, [CORES] * 4, 17, 1) == 4

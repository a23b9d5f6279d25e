"""The table `[fleet]`: what it means, and what is refused by name."""

from pathlib import Path
from typing import Any

import pytest

from myna.core.backend import Section
from myna.core.errors import ConfigurationError
from myna.fleet.config import Autoscaling, FleetConfig, read_section


def section(**values: Any) -> Section:
    return Section(values, Path("/etc/myna"))


def test_paths_are_relative_to_the_file() -> None:
    config = read_section(section(token_file="token", models={"m": {"path": "m.gguf", "memory": "2G"}}))
    assert config.token_file == "/etc/myna/token"
    assert config.models["m"].path == "/etc/myna/m.gguf"
    assert config.models["m"].memory_bytes == 2 << 30
    assert config.address == "auto"


def test_replicas_are_a_number_or_a_range() -> None:
    models = {"a": {"replicas": 3}, "b": {"replicas": {"min": 0, "max": 8}}}
    config = read_section(section(models=models))
    assert config.models["a"].replicas == 3
    assert config.models["b"].replicas == Autoscaling(0, 8)


def test_without_the_table_there_is_no_fleet() -> None:
    assert read_section(None) == FleetConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"adress": "x"}, "Unknown setting adress in fleet; choose one of address"),
        (
            {"models": {"m": {"replica": 2}}},
            r"Unknown setting replica in fleet\.models\.m; choose one",
        ),
        ({"models": {"m": {"replicas": 0}}}, "fleet: Expected `int` >= 1"),
        ({"models": {"m": {"replicas": {"min": 1}}}}, "missing required field `max`"),
        ({"models": {"m": {"memory": "lots"}}}, "memory|size|bytes"),
        ({"models": {"m": 3}}, "Expected `object`"),
        ({"models": 3}, "Expected `object`"),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_section(section(**values))

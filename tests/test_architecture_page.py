"""docs/architecture.md names functions and classes; each exists."""

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
SOURCE = Path(__file__).parent.parent / "src" / "myna"
NAMES = sorted(set(re.findall(r"`((?:[a-z_]+\.)+[A-Za-z_.]+)`", PAGE)) - {"pyproject.toml", "__init__.py"})


def _resolve(name: str) -> object:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if (SOURCE / "/".join(parts[:length])).with_suffix(".py").is_file():
            found: object = import_module(".".join(["myna", *parts[:length]]))
            for part in parts[length:]:
                found = getattr(found, part)
            return found
    raise AssertionError(f"no module of ours begins {name}")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_on_the_page_exists(name: str) -> None:
    assert _resolve(name) is not None


def test_the_page_follows_a_request_all_the_way() -> None:
    folders = {name.split(".")[0] for name in NAMES}
    assert {
        "app",
        "http",
        "request",
        "usage",
        "api",
        "catalog",
        "workers",
        "scheduling",
        "decoding",
        "prompts",
    } <= folders
    assert {"engines", "core", "settings", "stores"} <= folders

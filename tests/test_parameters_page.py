"""docs/parameters.md is what the tables say, and `scripts/parameters` writes it."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from myna.wire.parameters import CHAT, COMPLETIONS, RESPONSES

ROOT = Path(__file__).parent.parent


def test_the_page_is_current() -> None:
    loader = SourceFileLoader("parameters_page", str(ROOT / "scripts" / "parameters"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    script = module_from_spec(spec)
    loader.exec_module(script)
    page = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    assert page == script.page(), "write it again with: scripts/parameters"


def test_each_parameter_says_what_it_does() -> None:
    for table in (CHAT, RESPONSES, COMPLETIONS):
        assert [name for name, parameter in table.items() if not parameter.about] == []

"""docs/catalog.md and its Chinese twin have the models that are shipped; `scripts/catalog` writes them."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["catalog.md", "catalog.zh.md"])
def test_the_page_is_current(name: str) -> None:
    loader = SourceFileLoader("catalog_page", str(ROOT / "scripts" / "catalog"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    script = module_from_spec(spec)
    loader.exec_module(script)
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert page == script.page(name), "write it again with: scripts/catalog"

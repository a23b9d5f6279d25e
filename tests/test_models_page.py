"""docs/models.md is what the native engine says that it runs, and `scripts/models-page` writes it."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from myna import _native

ROOT = Path(__file__).parent.parent


@pytest.fixture
def script() -> ModuleType:
    loader = SourceFileLoader("models_page", str(ROOT / "scripts" / "models-page"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_pages_are_current(script: ModuleType) -> None:
    for path, text in script.pages().items():
        assert path.read_text(encoding="utf-8") == text, "write it again with: scripts/models-page"


def test_every_native_architecture_is_known_by_a_model(script: ModuleType) -> None:
    native = {*_native.architectures(), *_native.embedding_architectures()}
    assert native <= set(script.MODELS)

"""The table of engines by name. An engine's library is imported only when it is chosen."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from myna.core.errors import ConfigurationError, ModelLoadFailed
from myna.core.installation import install_command
from myna.core.translatable import N_

if TYPE_CHECKING:
    from myna.engines.base import EmbeddingEngine, Engine


@dataclass(frozen=True, slots=True)
class EngineRow:
    """What is known about an engine without importing it.

    `load` is an import string, and so is `load_embedding`, for models that turn texts into vectors; empty if
    it can't run them. `needs` are the modules that must be installed; `distribution` is the name of
    another project's package. `is_automatic`: `auto` tries it. `has_tokenizer`: `Engine.tokenize` works, so
    it can run models whose pre-tokenizer Myna doesn't support. `is_batch_invariant` is
    `Engine.is_batch_invariant`. `architectures` is the import string of a function that returns those
    that it can run, empty if it has no list: to advise people, not to choose an engine for a file."""

    load: str
    needs: tuple[str, ...] = ()
    distribution: str = ""
    is_automatic: bool = False
    has_tokenizer: bool = False
    is_batch_invariant: bool = False
    load_embedding: str = ""
    architectures: str = ""


# In the order in which `auto` tries them.
ENGINES: Final[dict[str, EngineRow]] = {
    "native": EngineRow(
        "myna.engines.native:load",
        ("myna.engines.native", "myna._native"),
        is_automatic=True,
        is_batch_invariant=True,
        load_embedding="myna.engines.native_embedding:load",
        architectures="myna.engines.native:architectures",
    ),
    "llamacpp": EngineRow(
        "myna.engines.llamacpp:load",
        ("myna.engines.llamacpp", "llama_cpp"),
        "llama-cpp-python",
        is_automatic=True,
        has_tokenizer=True,
        load_embedding="myna.engines.llamacpp_embedding:load",
    ),
    "fake": EngineRow(
        "myna.engines.fake:load",
        has_tokenizer=True,
        is_batch_invariant=True,
        load_embedding="myna.engines.fake_embedding:load",
    ),
}


def is_installed(name: str) -> bool:
    """Whether the engine's library is installed. Whether it can run a given file is only known by loading
    it."""
    return all(find_spec(module) is not None for module in ENGINES[name].needs)


def engines_to_try(wanted: str) -> Sequence[str]:
    """The installed engines for a value of the setting `engine`, best first. Raises `ConfigurationError`,
    saying what to install, if there are none."""
    automatic = [name for name, row in ENGINES.items() if row.is_automatic]
    names = automatic if wanted == "auto" else [wanted]
    installed = [name for name in names if is_installed(name)]
    if not installed:
        command = install_command("llamacpp")
        if wanted == "auto":
            raise ConfigurationError(
                N_("No engine is installed; install one with: {command}", command=command)
            )
        raise ConfigurationError(
            N_(
                "The engine {name!r} is not installed; install it with: {command}",
                name=wanted,
                command=command,
            )
        )
    return installed


def may_run(wanted: str, architecture: str, *, embeds: bool) -> bool:
    """Whether an installed engine, of those that the setting `engine` allows, may run a model of that
    architecture. `embeds`: an embedding model."""
    try:
        rows = [ENGINES[name] for name in engines_to_try(wanted)]
    except ConfigurationError:
        return False
    if embeds:
        return any(row.load_embedding for row in rows)
    return any(not row.architectures or architecture in _call(row.architectures) for row in rows)


def _call(place: str) -> Container[str]:
    module_name, function = place.split(":")
    found: Container[str] = getattr(import_module(module_name), function)()
    return found


def load_engine(
    name: str,
    path: str,
    *,
    context_tokens: int,
    memory_bytes: int,
    threads: int,
    max_kv_bytes: int = 0,
    kv_cache_type: str = "auto",
) -> "Engine":
    """Load the model file at `path`, which generates text, with the engine of that name.

    `context_tokens` 0: the model's own, as far as memory allows. `memory_bytes` is the size of the KV cache;
    0 lets the engine choose, up to `max_kv_bytes` (0: a quarter of the available memory). `threads` 0: as
    many as the process may use. `kv_cache_type` is a name in `core.backend.KV_CACHE_TYPES`. Raises
    `ModelLoadFailed` for a file that the engine can't run, and `ConfigurationError` for an unknown or missing
    engine."""
    engine: Engine = _function(name, _row(name).load)(
        path,
        context_tokens=context_tokens,
        memory_bytes=memory_bytes,
        threads=threads,
        max_kv_bytes=max_kv_bytes,
        kv_cache_type=kv_cache_type,
    )
    return engine


def load_embedding_engine(
    name: str, path: str, *, context_tokens: int, memory_bytes: int, threads: int, max_kv_bytes: int = 0
) -> "EmbeddingEngine":
    """`load_engine` for a model that turns texts into vectors. `memory_bytes` and `max_kv_bytes` are for the
    texts of one step. Raises the same errors."""
    row = _row(name)
    if not row.load_embedding:
        raise ModelLoadFailed(N_("The engine {name} runs no embedding models.", name=name))
    engine: EmbeddingEngine = _function(name, row.load_embedding)(
        path,
        context_tokens=context_tokens,
        memory_bytes=memory_bytes,
        threads=threads,
        max_kv_bytes=max_kv_bytes,
    )
    return engine


def _row(name: str) -> EngineRow:
    try:
        return ENGINES[name]
    except KeyError:
        raise ConfigurationError(
            N_("Unknown engine {name!r}; choose one of {known}.", name=name, known=", ".join(ENGINES))
        ) from None


def _function(engine: str, import_string: str) -> Any:
    module_name, function = import_string.split(":")
    try:
        module = import_module(module_name)
    except ImportError as exc:
        raise ConfigurationError(
            N_(
                "The engine {name!r} is not installed ({reason}). Install it with: {command}",
                name=engine,
                reason=exc,
                command=install_command(engine),
            )
        ) from exc
    return getattr(module, function)

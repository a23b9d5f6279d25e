"""Engines by name. Import strings, so that a library is imported when it is chosen."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from myna.core.errors import ConfigurationError
from myna.core.installation import install_command
from myna.core.translatable import N_

if TYPE_CHECKING:
    from myna.engines.base import Engine

ENGINES: Final[dict[str, str]] = {
    "native": "myna.engines.native:load",
    "llamacpp": "myna.engines.llamacpp:load",
    "fake": "myna.engines.fake:load",
}
# What has to be there for an engine, so that one can be chosen without importing any.
NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "native": ("myna.engines.native", "myna._native"),
    "llamacpp": ("myna.engines.llamacpp", "llama_cpp"),
    "fake": (),
}


def is_installed(name: str) -> bool:
    """Whether the engine's library is there; whether it runs a given file only loading tells."""
    return all(find_spec(module) is not None for module in NEEDS[name])


def load_engine(
    name: str, path: str, *, context_tokens: int, memory_bytes: int, threads: int, room_bytes: int = 0
) -> "Engine":
    """Load the model file at `path` with the engine of that name.

    `context_tokens` 0: the model's own, as memory allows. `memory_bytes` is the KV cache's size; 0 lets the
    engine choose, within `room_bytes` (0: a quarter of what is free). `threads` 0: as many as the process
    may use. Raises `ModelLoadFailed` for a file that the engine can't run, `ConfigurationError` for an
    unknown or missing engine.
    """
    try:
        module_name, function = ENGINES[name].split(":")
    except KeyError:
        raise ConfigurationError(
            N_("There is no engine {name!r}; choose one of {known}.", name=name, known=", ".join(ENGINES))
        ) from None
    try:
        module = import_module(module_name)
    except ImportError as exc:
        raise ConfigurationError(
            N_(
                "The engine {name!r} is not installed ({reason}). Install it with: {command}",
                name=name,
                reason=exc,
                command=install_command(name),
            )
        ) from exc
    engine: Engine = getattr(module, function)(
        path,
        context_tokens=context_tokens,
        memory_bytes=memory_bytes,
        threads=threads,
        room_bytes=room_bytes,
    )
    return engine

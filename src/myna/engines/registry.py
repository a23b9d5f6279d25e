"""Engines by name. Import strings, so that a library is imported when it is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from myna.core.errors import ConfigurationError
from myna.core.installation import install_command
from myna.core.translatable import N_

if TYPE_CHECKING:
    from myna.engines.base import Engine


@dataclass(frozen=True, slots=True)
class EngineRow:
    """What is known of an engine without importing it.

    `load` is an import string. `needs` are the modules that have to be there, `distribution` is what a
    package of another project is installed as. `is_automatic`: `auto` tries
    it. `has_tokenizer`: `Engine.tokenize` works, so models whose pre-tokenizer Myna doesn't know run on it.
    `is_batch_invariant` is `Engine.is_batch_invariant`.
    """

    load: str
    needs: tuple[str, ...] = ()
    distribution: str = ""
    is_automatic: bool = False
    has_tokenizer: bool = False
    is_batch_invariant: bool = False


# In the order in which `auto` tries them.
ENGINES: Final[dict[str, EngineRow]] = {
    "native": EngineRow(
        "myna.engines.native:load",
        ("myna.engines.native", "myna._native"),
        is_automatic=True,
        is_batch_invariant=True,
    ),
    "llamacpp": EngineRow(
        "myna.engines.llamacpp:load",
        ("myna.engines.llamacpp", "llama_cpp"),
        "llama-cpp-python",
        is_automatic=True,
        has_tokenizer=True,
    ),
    "fake": EngineRow("myna.engines.fake:load", has_tokenizer=True, is_batch_invariant=True),
}


def is_installed(name: str) -> bool:
    """Whether the engine's library is there; whether it runs a given file only loading tells."""
    return all(find_spec(module) is not None for module in ENGINES[name].needs)


def engines_to_try(wanted: str) -> Sequence[str]:
    """The installed engines that the setting `engine` means, best first. Raises `ConfigurationError` with
    what to install."""
    automatic = [name for name, row in ENGINES.items() if row.is_automatic]
    names = automatic if wanted == "auto" else [wanted]
    installed = [name for name in names if is_installed(name)]
    if not installed:
        command = install_command("llamacpp")
        if wanted == "auto":
            raise ConfigurationError(
                N_("No engine is installed here; add one with: {command}", command=command)
            )
        raise ConfigurationError(
            N_(
                "The engine {name!r} is not installed here; add one with: {command}",
                name=wanted,
                command=command,
            )
        )
    return installed


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
        module_name, function = ENGINES[name].load.split(":")
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

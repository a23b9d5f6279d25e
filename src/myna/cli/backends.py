"""The backends that the settings choose."""

from pathlib import Path

from myna.backends.table import Backends, open_backends, section_names
from myna.core.backend import BackendOptions
from myna.settings import Settings


def backends_of(settings: Settings) -> Backends:
    """Opened, not started. Raises `ConfigurationError`."""
    return open_backends(backend_options(settings), backend_sections(settings))


def backend_options(settings: Settings) -> BackendOptions:
    return BackendOptions(
        settings.home,
        settings.engine,
        settings.context_tokens,
        settings.memory_bytes,
        settings.threads,
        settings.max_queue,
        settings.max_queue_tokens,
        {model.id: model.chat_template for model in settings.models if model.chat_template is not None},
        {model.id: model.vllm for model in settings.models if model.vllm},
        settings.prefix_cache_bytes,
        adapters_by_model(settings),
        settings.kv_cache_type,
        kv_cache_types(settings),
    )


def kv_cache_types(settings: Settings) -> dict[str, str]:
    """The types of the KV caches of models for which one is set."""
    return {model.id: model.kv_cache_type for model in settings.models if model.kv_cache_type}


def adapters_by_model(settings: Settings) -> dict[str, dict[str, Path]]:
    """The LoRA adapters of each model: their names and folders."""
    found: dict[str, dict[str, Path]] = {}
    for alias in settings.aliases:
        if alias.adapter is not None:
            found.setdefault(alias.target, {})[alias.name] = alias.adapter
    return found


def backend_sections(settings: Settings) -> dict[str, object]:
    """The backends' own settings, those that are set."""
    return {name: value for name in section_names() if (value := getattr(settings, name))}

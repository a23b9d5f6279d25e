"""SIGHUP: a changed configuration, while requests run. Decides what may change; `running` applies it."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import Field, fields, replace
from typing import Any, Final

from myna.catalog.lookup import find_local
from myna.catalog.store import ModelStore
from myna.cli.served_models import ServedModels, check_sizes, choose_models
from myna.core.backend import LocalModel
from myna.core.errors import ConfigurationError, MynaError
from myna.core.translatable import N_
from myna.settings import Settings, key_of

_log: Final = logging.getLogger(__name__)
# The settings that a running server can change; the others are fixed at its start.
LIVE: Final = frozenset(
    {
        "model",
        "models",
        "aliases",
        "prompts",
        "moderation",
        "defaults",
        "upstreams",
        "models_memory",
        "idle",
        "allowed_hosts",
        "cors_origins",
        "max_body",
        "max_queue",
        "max_queue_tokens",
        "drain",
        "log_level",
    }
)


class Reloader:
    """`read` reads all sources again; `apply` replaces the settings and the offer of the running server.
    If anything is wrong with the new ones, the old stay in force, and the log says why."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        apply: Callable[[Settings, ServedModels], None],
    ) -> None:
        self._settings = settings
        self._read = read
        self._apply = apply
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def on_hangup(self) -> Iterator[None]:
        """Reload at every SIGHUP, on platforms that have it."""
        loop = asyncio.get_running_loop()
        try:
            loop.add_signal_handler(signal.SIGHUP, self._begin)
        except (AttributeError, NotImplementedError, RuntimeError, ValueError):
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    async def reload(self) -> None:
        async with self._turn:
            try:
                read = await asyncio.to_thread(self._read)
                settings, taken, later = merge_settings(self._settings, read)
                served = await asyncio.to_thread(choose_models, settings, find_here)
                check_sizes(served, settings.models_bytes)
                self._apply(settings, served)
            except MynaError as exc:
                _log.error("The configuration stays as it was: %s", exc.message)
                return
            except Exception:
                _log.exception("The configuration stays as it was")
                return
            self._settings = settings
            _log.info("The configuration was read again; changed: %s", ", ".join(taken) or "nothing")
            if later:
                _log.warning("These settings take effect at the next start: %s", ", ".join(later))

    def _begin(self) -> None:
        task = asyncio.get_running_loop().create_task(self.reload())
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def merge_settings(old: Settings, new: Settings) -> tuple[Settings, list[str], list[str]]:
    """The settings to run with, the keys whose changes were applied, and those that need a restart."""
    changed = [setting for setting in fields(Settings) if _value(old, setting) != _value(new, setting)]
    live = [setting for setting in changed if key_of(setting) in LIVE]
    later = [key_of(setting) for setting in changed if key_of(setting) not in LIVE]
    taken = {setting.name: _value(new, setting) for setting in live}
    return replace(old, **taken), [key_of(setting) for setting in live], later


def find_here(name: str, settings: Settings) -> LocalModel:
    """The model of that name, without downloading it, since requests would wait for that."""
    found = find_local(name, ModelStore.at(settings.home))
    if found is None:
        raise ConfigurationError(
            N_(
                "The default model {name!r} is not on this machine; download it with: myna pull {name}",
                name=name,
            )
        )
    return found


def _value(settings: Settings, setting: "Field[Any]") -> Any:
    return getattr(settings, setting.name)

"""The table of backends by name. A backend is imported only when the settings choose it."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import chain
from typing import Final

from myna.core.backend import Backend, BackendOptions, Candidate, ModelSpec
from myna.core.errors import ConfigurationError, ModelLoadFailed
from myna.core.finding import Findings
from myna.core.ledger import Price
from myna.core.translatable import N_
from myna.engines.registry import ENGINES


@dataclass(frozen=True, slots=True)
class BackendRow:
    """What is known about a backend without importing it.

    `backend` is an import string of a callable that takes `BackendOptions` and returns a
    `core.backend.Backend`. `engines` are the values of the setting `engine` that choose it, besides `auto`. A
    backend may have its own setting, the field `section` of `Settings`; one without engines is chosen if that
    is set."""

    backend: str
    engines: tuple[str, ...] = ()
    section: str = ""


# If several accept a model, the first runs it.
BACKENDS: Final[dict[str, BackendRow]] = {
    "fleet": BackendRow("myna.fleet.backend:FleetBackend", section="fleet"),
    "worker": BackendRow("myna.backends.worker.backend:WorkerBackend", engines=tuple(ENGINES)),
    "vllm": BackendRow("myna.backends.vllm.backend:VllmBackend", engines=("vllm",), section="engines"),
    "remote": BackendRow("myna.backends.remote.backend:RemoteBackend", section="upstreams"),
}


def engine_names(rows: Mapping[str, BackendRow] = BACKENDS) -> tuple[str, ...]:
    """The valid values of the setting `engine`."""
    return ("auto", *chain.from_iterable(row.engines for row in rows.values()))


def section_names(rows: Mapping[str, BackendRow] = BACKENDS) -> tuple[str, ...]:
    """The names of the backends' own settings."""
    return tuple(row.section for row in rows.values() if row.section)


def open_backends(
    options: BackendOptions, sections: Mapping[str, object], rows: Mapping[str, BackendRow] = BACKENDS
) -> "Backends":
    """Create the backends that the settings choose. `sections` holds the backends' own settings, by name, if
    set. Raises `ConfigurationError`."""
    opened: dict[str, Backend] = {}
    for name, row in rows.items():
        if _is_chosen(row, options.engine, sections):
            module, factory = row.backend.split(":")
            make = getattr(import_module(module), factory)
            opened[name] = make(_options_of(row, options, sections))
    return Backends(opened, rows)


class Backends:
    """The backends of one server, in the table's order. Has the same methods as a single backend."""

    def __init__(self, opened: Mapping[str, Backend], rows: Mapping[str, BackendRow]) -> None:
        self.opened = opened
        self._rows = rows

    async def prepare(self, model: ModelSpec) -> Candidate:
        """A `core.backend.Prepare` that uses the first backend that accepts the model."""
        if (backend := self._backend_of(model)) is not None:
            return await backend.prepare(model)
        raise ModelLoadFailed(N_("No configured backend can run the model {model!r}.", model=model.id))

    def check(self) -> None:
        """Raises `ConfigurationError` if no backend can run models."""
        failures: list[ConfigurationError] = []
        for backend in self.opened.values():
            try:
                backend.check()
            except ConfigurationError as exc:
                failures.append(exc)
        if len(failures) == len(self.opened):
            raise failures[0]

    def findings(self) -> Findings:
        """What `myna doctor` reports about every backend."""
        for backend in self.opened.values():
            yield from backend.findings()

    def announced(self) -> tuple[ModelSpec, ...]:
        """The models that the backends themselves provide, as known now."""
        return tuple(chain.from_iterable(backend.announced() for backend in self.opened.values()))

    def may_announce(self, model: str) -> bool:
        """Whether any backend announces a model with that id, or may later."""
        return any(backend.may_announce(model) for backend in self.opened.values())

    def embeds(self, model: ModelSpec) -> bool:
        """Whether the model turns texts into vectors, as far as can be said at once."""
        backend = self._backend_of(model)
        return backend is not None and backend.embeds(model)

    def price(self, model: str) -> Price | None:
        """The price of this model's tokens, from the first backend whose settings have one."""
        return next((price for one in self.opened.values() if (price := one.price(model)) is not None), None)

    async def start(self, first: ModelSpec | None = None) -> None:
        """See `core.backend.Backend.start`."""
        runs_first = None if first is None else self._backend_of(first)
        for backend in self.opened.values():
            await backend.start(first if backend is runs_first else None)

    def change(self, options: BackendOptions, sections: Mapping[str, object]) -> None:
        """Change the options; backends that were not chosen at the start stay off."""
        for name, backend in self.opened.items():
            backend.change(_options_of(self._rows[name], options, sections))

    async def aclose(self) -> None:
        """Close all backends, even if closing one fails. Idempotent."""
        async with AsyncExitStack() as stack:
            for backend in self.opened.values():
                stack.push_async_callback(backend.aclose)

    def _backend_of(self, model: ModelSpec) -> Backend | None:
        return next((backend for backend in self.opened.values() if backend.accepts(model)), None)


def _is_chosen(row: BackendRow, engine: str, sections: Mapping[str, object]) -> bool:
    return row.section in sections if not row.engines else engine == "auto" or engine in row.engines


def _options_of(row: BackendRow, options: BackendOptions, sections: Mapping[str, object]) -> BackendOptions:
    return replace(options, section=sections.get(row.section))

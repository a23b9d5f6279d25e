"""Backends by name. Import strings, so that a backend is imported when settings choose it."""

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
    """What is known of a backend without importing it.

    `backend` is an import string: called with `BackendOptions`, it makes a `core.backend.Backend`.
    `engines` are the values of the setting `engine` that choose it, as does `auto`. A backend without
    engines has a setting of its own, the field `section` of `Settings`, and is chosen where that is set.
    """

    backend: str
    engines: tuple[str, ...] = ()
    section: str = ""


# Of several that accept a model, the first runs it.
BACKENDS: Final[dict[str, BackendRow]] = {
    "worker": BackendRow("myna.backends.worker.backend:WorkerBackend", engines=tuple(ENGINES)),
    "remote": BackendRow("myna.backends.remote.backend:RemoteBackend", section="upstreams"),
}


def engine_names(rows: Mapping[str, BackendRow] = BACKENDS) -> tuple[str, ...]:
    """What the setting `engine` may be."""
    return ("auto", *chain.from_iterable(row.engines for row in rows.values()))


def section_names(rows: Mapping[str, BackendRow] = BACKENDS) -> tuple[str, ...]:
    """The settings that are a backend's own."""
    return tuple(row.section for row in rows.values() if row.section)


def open_backends(
    options: BackendOptions, sections: Mapping[str, object], rows: Mapping[str, BackendRow] = BACKENDS
) -> "Backends":
    """Those that the settings choose. `sections` holds the backends' own settings that are set, by name.
    Raises `ConfigurationError`."""
    opened: dict[str, Backend] = {}
    for name, row in rows.items():
        if _is_chosen(row, options.engine, sections):
            module, factory = row.backend.split(":")
            make = getattr(import_module(module), factory)
            opened[name] = make(_options_of(row, options, sections))
    return Backends(opened, rows)


class Backends:
    """The backends of one server, in the table's order. As a whole it is used like one of them."""

    def __init__(self, opened: Mapping[str, Backend], rows: Mapping[str, BackendRow]) -> None:
        self.opened = opened
        self._rows = rows

    async def prepare(self, model: ModelSpec) -> Candidate:
        """A `core.backend.Prepare`: by the first backend that accepts the model."""
        for backend in self.opened.values():
            if backend.accepts(model):
                return await backend.prepare(model)
        raise ModelLoadFailed(N_("No configured backend runs models such as {model!r}.", model=model.id))

    def check(self) -> None:
        """Raises `ConfigurationError` where no backend can run anything."""
        failures: list[ConfigurationError] = []
        for backend in self.opened.values():
            try:
                backend.check()
            except ConfigurationError as exc:
                failures.append(exc)
        if len(failures) == len(self.opened):
            raise failures[0]

    def findings(self) -> Findings:
        """What `myna doctor` says of every backend."""
        for backend in self.opened.values():
            yield from backend.findings()

    def announced(self) -> tuple[ModelSpec, ...]:
        """The models that backends offer of their own accord, now."""
        return tuple(chain.from_iterable(backend.announced() for backend in self.opened.values()))

    def may_announce(self, model: str) -> bool:
        """Whether any of them offers a model of that id, or may later."""
        return any(backend.may_announce(model) for backend in self.opened.values())

    def price(self, model: str) -> Price | None:
        """What the settings of the first backend that knows it say that this model's tokens cost."""
        return next((price for one in self.opened.values() if (price := one.price(model)) is not None), None)

    async def start(self) -> None:
        """See `core.backend.Backend.start`."""
        for backend in self.opened.values():
            await backend.start()

    def change(self, options: BackendOptions, sections: Mapping[str, object]) -> None:
        """Other options, from now on; a backend that was not chosen at the start stays out."""
        for name, backend in self.opened.items():
            backend.change(_options_of(self._rows[name], options, sections))

    async def aclose(self) -> None:
        """End all of them, even if one can't. Idempotent."""
        async with AsyncExitStack() as stack:
            for backend in self.opened.values():
                stack.push_async_callback(backend.aclose)


def _is_chosen(row: BackendRow, engine: str, sections: Mapping[str, object]) -> bool:
    return row.section in sections if not row.engines else engine == "auto" or engine in row.engines


def _options_of(row: BackendRow, options: BackendOptions, sections: Mapping[str, object]) -> BackendOptions:
    return replace(options, section=sections.get(row.section))

"""Which models a server offers, and the way to one of them. Knows no HTTP and no engine; how a model is
loaded is handed in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from myna.catalog.entries import unknown_model
from myna.catalog.listing import Listing, Look, ModelCard
from myna.catalog.memory import Memory, read_memory
from myna.catalog.residents import PoolLimits, Residents
from myna.catalog.slots import Loader, Slot
from myna.catalog.store import LocalModel
from myna.core.errors import ModelInUse, ModelNotFound, PermissionDenied
from myna.core.generator import Generator
from myna.core.translatable import N_
from myna.prompts.prompting import Prompting


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A loaded model under the name that was asked for: `card.id` is what an answer echoes."""

    card: ModelCard
    generator: Generator
    prompting: Prompting
    weights: str = ""


class ModelPool:
    """`look` tells the listing, as often as it changes; `forget` deletes a removed model's files. All
    methods are for one event loop."""

    def __init__(
        self,
        look: Look,
        load: Loader,
        *,
        forget: Callable[[LocalModel], None],
        limits: PoolLimits | None = None,
        memory: Callable[[], Memory] = read_memory,
    ) -> None:
        self._look = look
        self._forget = forget
        self._listing = Listing({}, {})
        self._slots: dict[str, Slot] = {}
        self._residents = Residents(load, memory, limits or PoolLimits())

    def cards(self) -> Sequence[ModelCard]:
        """Every name, loaded or not."""
        self._refresh()
        return tuple(self._listing.cards.values())

    def card(self, model: str) -> ModelCard:
        """The card of that exact id. Raises `ModelNotFound`."""
        self._refresh()
        try:
            return self._listing.cards[model]
        except KeyError:
            raise ModelNotFound(
                unknown_model(model, list(self._listing.cards)), param="model", code="model_not_found"
            ) from None

    def find(self, model: str) -> ModelCard | None:
        """The card of that exact id, if there is one."""
        self._refresh()
        return self._listing.cards.get(model)

    def loaded(self) -> tuple[str, ...]:
        """Ids of the models that are loaded now, in the order of their loads."""
        return tuple(slot.file.id for slot in self._residents.loaded)

    def running(self) -> Sequence[tuple[str, Generator]]:
        """The same with their generators."""
        return tuple(
            (slot.file.id, slot.loaded.generator)
            for slot in self._residents.loaded
            if slot.loaded is not None
        )

    @property
    def is_ready(self) -> bool:
        """Whether a request would be answered: a model was loaded once, and of those that are now not
        all are being restarted."""
        loaded = [slot.loaded for slot in self._residents.loaded if slot.loaded is not None]
        is_any_ready = not loaded or any(model.generator.is_ready for model in loaded)
        return self._residents.has_loaded and is_any_ready

    @asynccontextmanager
    async def hold(self, model: str) -> AsyncIterator[ServedModel]:
        """The model, loaded: at once if it is, else after its load, which all who ask wait for. It is not
        unloaded while it is held.

        Raises `ModelNotFound`, `Overloaded` where too many wait for it already, or `ModelLoadFailed` to
        everyone who waited; the next to ask tries again.
        """
        card = self.card(model)
        slot = self._slots[card.target]
        await self._residents.enter(slot)
        try:
            assert slot.loaded is not None, "a held model stays"
            yield ServedModel(card, slot.loaded.generator, slot.loaded.prompting, slot.loaded.weights)
        finally:
            self._residents.leave(slot)

    async def remove(self, model: str) -> None:
        """Unload the model and delete its files. Raises `ModelNotFound`; `PermissionDenied` for an alias
        or a file of the user's own; `ModelInUse` while requests run on it or wait for it."""
        card = self.card(model)
        if card.kind != "model":
            raise PermissionDenied(
                N_(
                    "{model!r} is an alias of {target!r}; only models can be deleted.",
                    model=model,
                    target=card.target,
                )
            )
        slot = self._slots[model]
        if slot.file.source == "file":
            raise PermissionDenied(
                N_("{model!r} is a file of the server's owner and is not deleted over HTTP.", model=model)
            )
        if slot.is_wanted or slot.loading is not None:
            raise ModelInUse(
                N_("The model {model!r} is in use; try again when its requests have ended.", model=model)
            )
        self._show(self._listing.without(model))
        await self._residents.unload(slot)
        await asyncio.to_thread(self._forget, slot.file)

    def change(self, look: Look, limits: PoolLimits) -> None:
        """Another listing and other limits, from now on. Requests that run keep the model they have."""
        self._look = look
        for slot in self._slots.values():
            slot.failure = None
        self._refresh()
        self._residents.change(limits)

    async def aclose(self) -> None:
        """Unload everything; idempotent."""
        await self._residents.aclose()

    def _refresh(self) -> None:
        if (listing := self._look()) is not None:
            self._show(listing)

    def _show(self, listing: Listing) -> None:
        """A model that is not listed any more, or whose file is another, leaves after its last request."""
        before, self._listing = self._slots, listing
        self._slots = {}
        for name, file in listing.files.items():
            slot = before.get(name)
            self._slots[name] = slot if slot is not None and slot.file == file else Slot(file)
        for name, slot in before.items():
            if self._slots.get(name) is not slot:
                slot.is_listed = False
                self._residents.touch(slot)

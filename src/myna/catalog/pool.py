"""Which models a server offers, and which of them are loaded. Knows no HTTP and no engine; how a model
is loaded is handed in."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from myna.catalog.entries import unknown_model
from myna.catalog.held import HeldGenerator
from myna.catalog.store import LocalModel
from myna.core.errors import ModelInUse, ModelNotFound, PermissionDenied
from myna.core.generator import Generator
from myna.prompts.prompting import Prompting

CardKind = Literal["model", "alias", "instruct"]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A name that clients may use. `target` is the id of the model that answers (its own id, unless it
    is an alias). An `instruct` alias wraps raw string prompts in the model's chat template."""

    id: str
    created: int
    owned_by: str
    kind: CardKind
    target: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a loader returns: a running generator and the text side of the same model."""

    generator: Generator
    prompting: Prompting


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A loaded model under the name that was asked for: `card.id` is what an answer echoes."""

    card: ModelCard
    generator: Generator
    prompting: Prompting


Loader = Callable[[LocalModel], Awaitable[Loaded]]


@dataclass(slots=True)
class _Slot:
    """One model's place: its file, and what is loaded of it. `lock` lets one load run at a time."""

    file: LocalModel
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    held: HeldGenerator | None = None
    prompting: Prompting | None = None


class ModelPool:
    """`files` come first in the list, aliases after them. `load` is called when a model is first asked
    for; `forget` deletes a removed model's files. All methods are for one event loop."""

    def __init__(
        self,
        files: Iterable[LocalModel],
        aliases: Iterable[ModelCard],
        load: Loader,
        *,
        forget: Callable[[LocalModel], None],
    ) -> None:
        self._slots = {file.id: _Slot(file) for file in files}
        self._cards = {file.id: _card_of(file) for file in (slot.file for slot in self._slots.values())}
        for alias in aliases:
            target = self._cards.get(alias.target)
            if target is not None and alias.id not in self._cards:
                self._cards[alias.id] = replace(alias, created=target.created, owned_by=target.owned_by)
        self._load = load
        self._forget = forget

    def cards(self) -> Sequence[ModelCard]:
        """Every name, loaded or not."""
        return tuple(self._cards.values())

    def card(self, model: str) -> ModelCard:
        """The card of that exact id. Raises `ModelNotFound`."""
        try:
            return self._cards[model]
        except KeyError:
            raise ModelNotFound(
                unknown_model(model, list(self._cards)), param="model", code="model_not_found"
            ) from None

    def loaded(self) -> tuple[str, ...]:
        """Ids of the models that are loaded now; empty until the first is ready."""
        return tuple(name for name, slot in self._slots.items() if slot.held is not None)

    @property
    def is_ready(self) -> bool:
        """Whether a model is loaded and answers."""
        return any(slot.held is not None and slot.held.is_ready for slot in self._slots.values())

    async def open(self, model: str) -> ServedModel:
        """The model, loaded: at once if it is, else after its load, which all who ask wait for.

        Raises `ModelNotFound`, or `ModelLoadFailed` to everyone who waited; the next to ask tries again.
        """
        card = self.card(model)
        slot = self._slots[card.target]
        async with slot.lock:
            if slot.held is None:
                loaded = await self._load(slot.file)
                slot.held, slot.prompting = HeldGenerator(loaded.generator), loaded.prompting
            assert slot.prompting is not None
            return ServedModel(card, slot.held, slot.prompting)

    async def remove(self, model: str) -> None:
        """Unload the model and delete its files. Raises `ModelNotFound`; `PermissionDenied` for an alias
        or a file of the user's own; `ModelInUse` while requests run on it."""
        card = self.card(model)
        if card.kind != "model":
            raise PermissionDenied(f"{model!r} is an alias of {card.target!r}; only models can be deleted.")
        slot = self._slots[model]
        if slot.file.source == "file":
            raise PermissionDenied(f"{model!r} is a file of the server's owner and is not deleted over HTTP.")
        if slot.lock.locked() or (slot.held is not None and slot.held.num_running):
            raise ModelInUse(f"The model {model!r} is in use; try again when its requests have ended.")
        del self._slots[model]
        self._cards = {name: other for name, other in self._cards.items() if other.target != model}
        if slot.held is not None:
            await slot.held.aclose()
        await asyncio.to_thread(self._forget, slot.file)

    async def aclose(self) -> None:
        """Unload everything; idempotent."""
        for slot in self._slots.values():
            held, slot.held = slot.held, None
            if held is not None:
                await held.aclose()


def _card_of(file: LocalModel) -> ModelCard:
    return ModelCard(file.id, file.created, file.owned_by, "model", file.id)

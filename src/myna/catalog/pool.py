"""The models that a server offers, and access to them. Knows no HTTP and no backend; how a model is loaded is
passed in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from myna.catalog.entries import nearest_model
from myna.catalog.manager import ModelManager, PoolLimits
from myna.catalog.memory import Memory, read_memory
from myna.catalog.registry import Listing, ModelCard, PollListing
from myna.catalog.slot import ModelSlot
from myna.core.backend import LoadedModel, LocalModel, Prepare
from myna.core.embedder import Embedder, TextEncoder
from myna.core.errors import ModelInUse, ModelNotFound, PermissionDenied, WrongEndpoint
from myna.core.generator import Generator, RunningModel
from myna.core.relay import Relay
from myna.core.renderer import Renderer
from myna.core.requests import Sampling
from myna.core.sampling_defaults import SamplingDefaults
from myna.core.translatable import N_

T = TypeVar("T")
# The call format of models whose template knows no tools.
_UNTRAINED_CALLS: Final = "bare"
_MOST_NAMED: Final = 8  # models that an error names


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A loaded model under the requested name, `card.id`, which responses echo.

    If `relay` is set, requests are passed through unchanged; then the other parts raise `WrongEndpoint`, for
    endpoints that can't relay requests. `generator` and `renderer` raise it for an embedding model, too;
    `embedder` and `texts` raise `PermissionDenied` for a model that generates, as OpenAI does.
    """

    card: ModelCard
    loaded: LoadedModel

    @property
    def relay(self) -> Relay | None:
        return self.loaded.relay

    @property
    def generator(self) -> Generator:
        return self._generating(self.loaded.generator)

    @property
    def renderer(self) -> Renderer:
        return self._generating(self.loaded.renderer)

    @property
    def embedder(self) -> Embedder:
        return self._embedding(self.loaded.embedder)

    @property
    def texts(self) -> TextEncoder:
        return self._embedding(self.loaded.texts)

    @property
    def sampling(self) -> Sampling:
        """The sampling parameters of requests that set none."""
        return self.card.sampling.over(self.loaded.sampling).sampling()

    @property
    def weights(self) -> str:
        """Identifies the weights, the adapter's included."""
        if not self.card.adapter:
            return self.loaded.weights
        return f"{self.loaded.weights} {self.generator.info.adapters[self.card.adapter]}"

    def _generating(self, part: T | None) -> T:
        if part is None and self.loaded.embedder is not None:
            raise WrongEndpoint(
                N_("The model {model!r} turns texts into vectors; it doesn't generate.", model=self.card.id),
                param="model",
            )
        return self._local(part)

    def _embedding(self, part: T | None) -> T:
        if part is None and self.loaded.generator is not None:
            raise PermissionDenied(N_("You are not allowed to generate embeddings from this model"))
        return self._local(part)

    def _local(self, part: T | None) -> T:
        if part is None:
            raise WrongEndpoint(
                N_(
                    "The model {model!r} runs on another server, which this endpoint doesn't support.",
                    model=self.card.id,
                ),
                param="model",
            )
        return part


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What is known of a model now. `sampling` are its defaults; those in its file are known while it is
    loaded, and so is `context_tokens`. `num_bytes` is the size of its files, None for one that has none here.
    `capabilities` are those in the catalog, or what its files show once it is loaded. `engine` runs it here,
    and is None where that isn't known; `is_batch_invariant` is what it promises. `draft` is the id of its
    draft model."""

    is_loaded: bool
    sampling: SamplingDefaults
    num_bytes: int | None = None
    context_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    engine: str | None = None
    is_batch_invariant: bool | None = None
    draft: str | None = None


class ModelPool:
    """`poll_listing` returns a new listing when it has changed; `delete_files` deletes a removed model's
    files. All methods are for one event loop."""

    def __init__(
        self,
        poll_listing: PollListing,
        prepare: Prepare,
        *,
        delete_files: Callable[[LocalModel], None],
        limits: PoolLimits | None = None,
        memory: Callable[[], Memory] = read_memory,
    ) -> None:
        self._poll_listing = poll_listing
        self._delete_files = delete_files
        self._listing = Listing({}, {})
        self._slots: dict[str, ModelSlot] = {}
        self._manager = ModelManager(prepare, memory, limits or PoolLimits())

    def cards(self) -> Sequence[ModelCard]:
        """All listed cards, of loaded and unloaded models."""
        self._refresh()
        return tuple(self._listing.cards.values())

    def card(self, model: str) -> ModelCard:
        """The card of that name. Raises `ModelNotFound`."""
        card = self.find(model)
        if card is None:
            raise self._not_found(model)
        return card

    def find(self, model: str) -> ModelCard | None:
        """The card of that name, if there is one."""
        self._refresh()
        return self._listing.find(model)

    def details(self, card: ModelCard) -> ModelDetails:
        spec, slot = self._listing.models.get(card.target), self._slots.get(card.target)
        if slot is None or slot.loaded is None:
            capabilities = card.notes.capabilities or (("embeddings",) if card.embeds else ())
            details = ModelDetails(False, card.sampling, capabilities=capabilities)
        else:
            details = _loaded_details(card, slot.loaded)
        if not isinstance(spec, LocalModel):
            return details
        return replace(details, num_bytes=spec.num_bytes, draft=spec.draft.id if spec.draft else None)

    def running(self) -> Sequence[tuple[str, RunningModel]]:
        """The loaded models by id, in the order of their loads."""
        return tuple(
            (slot.model.id, slot.loaded.running) for slot in self._manager.loaded if slot.loaded is not None
        )

    @property
    def is_ready(self) -> bool:
        """Whether a request would be answered: a model has been loaded before, and not all loaded models are
        being restarted."""
        loaded = [slot.loaded for slot in self._manager.loaded if slot.loaded is not None]
        is_any_ready = not loaded or any(model.running.is_ready for model in loaded)
        return self._manager.has_loaded and is_any_ready

    @asynccontextmanager
    async def hold(self, card: ModelCard) -> AsyncIterator[ServedModel]:
        """The card's model, loaded if necessary; concurrent requests wait for the same load. It is not
        unloaded while it is held.

        Raises `ModelNotFound` if it is no longer listed, or its adapter was not loaded with it, `Overloaded`
        if too many requests wait for it, and `ModelLoadFailed` in all requests that waited; the next request
        tries again.
        """
        slot = self._slots.get(card.target)
        if slot is None:
            raise self._not_found(card.id)
        await self._manager.acquire(slot)
        try:
            assert slot.loaded is not None, "a held model stays"
            _check_adapter(card, slot.loaded)
            yield ServedModel(card, slot.loaded)
        finally:
            self._manager.release(slot)

    async def remove(self, model: str) -> None:
        """Unload the model and delete its files. Raises `ModelNotFound`; `PermissionDenied` for an alias
        or a user's own file; `ModelInUse` while requests use it or wait for it."""
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
        if not isinstance(slot.model, LocalModel):
            raise PermissionDenied(
                N_("{model!r} is not a file of this server and can't be deleted.", model=model)
            )
        if slot.model.source == "file":
            raise PermissionDenied(
                N_("{model!r} is a file of the server's owner and is not deleted over HTTP.", model=model)
            )
        _check_unused(slot)
        self._apply(self._listing.without(model))
        await self._manager.unload(slot)
        await asyncio.to_thread(self._delete_files, slot.model)

    async def unload(self, card: ModelCard) -> None:
        """Unload the card's model, if it is loaded. Raises `ModelNotFound`, and `ModelInUse` while requests
        use it or wait for it."""
        slot = self._slots.get(card.target)
        if slot is None:
            raise self._not_found(card.id)
        _check_unused(slot)
        await self._manager.unload(slot)

    def reconfigure(self, poll_listing: PollListing, limits: PoolLimits) -> None:
        """Use another listing and other limits from now on. Running requests keep their model."""
        self._poll_listing = poll_listing
        for slot in self._slots.values():
            slot.failure = None
        self._refresh()
        self._manager.set_limits(limits)

    async def aclose(self) -> None:
        """Unload everything; idempotent."""
        await self._manager.aclose()

    def _refresh(self) -> None:
        if (listing := self._poll_listing()) is not None:
            self._apply(listing)

    def _not_found(self, model: str) -> ModelNotFound:
        cards = self._listing.cards
        served = sorted({card.target for card in cards.values()})
        hint = nearest_model(model, list(cards), served[:_MOST_NAMED])
        message = N_("There is no model {model!r} here; {hint}", model=model, hint=hint)
        return ModelNotFound(message, param="model", code="model_not_found")

    def _apply(self, listing: Listing) -> None:
        """Apply a listing. A model that is no longer listed, or whose file changed, is unloaded after its
        last request."""
        before, self._listing = self._slots, listing
        self._slots = {}
        for name, model in listing.models.items():
            slot = before.get(name)
            self._slots[name] = slot if slot is not None and slot.model == model else ModelSlot(model)
        for name, slot in before.items():
            if self._slots.get(name) is not slot:
                slot.is_listed = False
                self._manager.touch(slot)


def _capabilities(loaded: LoadedModel) -> tuple[str, ...]:
    """What a loaded model's files show; nothing of a model that runs elsewhere."""
    if loaded.embedder is not None:
        return ("embeddings",)
    if loaded.renderer is None:
        return ()
    if not loaded.renderer.has_chat_template:
        return ("completion",)
    thinks = loaded.renderer.thinking is not None and loaded.renderer.thinking.is_known
    calls = loaded.renderer.call_format != _UNTRAINED_CALLS
    return ("chat", *(["tools"] if calls else []), *(["thinking"] if thinks else []))


def _check_adapter(card: ModelCard, loaded: LoadedModel) -> None:
    if card.adapter and card.adapter not in loaded.running.info.adapters:
        raise ModelNotFound(
            N_(
                "The adapter of {name!r} was not loaded with {model!r}. Adapters are for vLLM; a new one is "
                "loaded with its model, the next time.",
                name=card.id,
                model=card.target,
            ),
            param="model",
            code="model_not_found",
        )


def _check_unused(slot: ModelSlot) -> None:
    if slot.is_in_use or slot.loading is not None:
        raise ModelInUse(
            N_("The model {model!r} is in use; try again when its requests have ended.", model=slot.model.id)
        )


def _loaded_details(card: ModelCard, loaded: LoadedModel) -> ModelDetails:
    info = loaded.running.info
    is_relayed = loaded.relay is not None
    return ModelDetails(
        True,
        card.sampling.over(loaded.sampling),
        context_tokens=(info.context_tokens or None) if is_relayed else info.context_tokens,
        capabilities=card.notes.capabilities or _capabilities(loaded),
        engine=None if is_relayed else info.engine,
        is_batch_invariant=None if is_relayed else info.is_batch_invariant,
    )

"""The names that clients may use, and the models behind them. Loads nothing."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from myna.catalog.catalog_file import published_defaults
from myna.catalog.store import ModelStore
from myna.core.backend import LocalModel, ModelSpec
from myna.core.sampling_defaults import NO_DEFAULTS, SamplingDefaults

CardKind = Literal["model", "alias", "instruct"]

# The coarsest resolution of file times: two changes within it may look like one.
_TICK_NS: Final = 50_000_000
_NO_DRAFTS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class ModelNotes:
    """What is known of a model before it is loaded. `capabilities` are those in the catalog; `problem` is why
    its file could not be used when the settings were read."""

    capabilities: tuple[str, ...] = ()
    problem: str = ""


NO_NOTES: Final = ModelNotes()


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A name that clients may use. `target` is the id of the model behind it (its own id, unless it is an
    alias). An `instruct` alias wraps raw string prompts in the model's chat template. `is_relayed`: requests
    are passed to another server unchanged, so they are not validated here. `sampling` are the model's
    defaults from the settings and the catalog, which take precedence over those in its file. `embeds`: it
    turns texts into vectors, and is known to without being loaded; an alias may put a `prefix` before each
    text. An alias may also name a LoRA `adapter` that the target runs with. `is_guard`: it is the model that
    the settings name for classifying texts."""

    id: str
    created: int
    owned_by: str
    kind: CardKind
    target: str
    is_relayed: bool = False
    sampling: SamplingDefaults = NO_DEFAULTS
    notes: ModelNotes = NO_NOTES
    embeds: bool = False
    prefix: str = ""
    adapter: str = ""
    is_guard: bool = False

    @property
    def is_possible(self) -> bool:
        """Texts have prefixes only for vectors; an adapter is for a model that runs here or in the fleet."""
        return (self.embeds or not self.prefix) and not (self.adapter and self.is_relayed)


# The sampling defaults of a model, without those in its file.
FindDefaults = Callable[[ModelSpec], SamplingDefaults]
FindNotes = Callable[[ModelSpec], ModelNotes]


# The card of an alias that isn't listed, by its name; None for a name that is none.
AliasFor = Callable[[str], ModelCard | None]


def no_notes(model: ModelSpec) -> ModelNotes:
    """For lists of which nothing is known."""
    return NO_NOTES


# Whether a model turns texts into vectors, as far as is known before it is loaded.
Embeds = Callable[[ModelSpec], bool]


def unknown_kind(model: ModelSpec) -> bool:
    """For lists that don't look into files."""
    return False


def no_alias(name: str) -> None:
    """For lists without unlisted aliases."""


@dataclass(frozen=True, slots=True)
class Listing:
    """`models` by id, and the card of every listed name, models before aliases. `alias_for` are further
    names that requests may use."""

    models: Mapping[str, ModelSpec]
    cards: Mapping[str, ModelCard]
    alias_for: AliasFor = no_alias

    @classmethod
    def of(
        cls,
        models: Iterable[ModelSpec],
        aliases: Iterable[ModelCard],
        defaults_of: FindDefaults = published_defaults,
        alias_for: AliasFor = no_alias,
        notes_of: FindNotes = no_notes,
        embeds: Embeds = unknown_kind,
        embedding_aliases: Collection[str] = (),
        guard: str = "",
        guard_aliases: Collection[str] = (),
    ) -> "Listing":
        """Of two models with the same id, the first is listed. Aliases never hide a model; those without a
        target are dropped. `embedding_aliases` are names of the embedding model, if there is exactly one;
        `guard_aliases` those of the model that classifies texts, whose id or alias is `guard`."""
        by_id: dict[str, ModelSpec] = {}
        for model in models:
            by_id.setdefault(model.id, model)
        cards = {
            model.id: ModelCard(
                model.id,
                model.created,
                model.owned_by,
                "model",
                model.id,
                model.is_relayed,
                defaults_of(model),
                notes_of(model),
                embeds(model),
            )
            for model in by_id.values()
        }
        embedding = [card.id for card in cards.values() if card.embeds]
        if len(embedding) == 1:
            more = (ModelCard(name, 0, "", "alias", embedding[0]) for name in embedding_aliases)
            aliases = [*aliases, *more]
        for alias in aliases:
            if alias.target in by_id and alias.id not in cards:
                card = _like(cards[alias.target], alias)
                if card.is_possible:
                    cards[alias.id] = card
        if (classifier := cards.get(guard)) is not None:
            for name in guard_aliases:
                cards.setdefault(name, replace(classifier, id=name, kind="alias"))
            for name, card in cards.items():
                if (card.target, card.adapter) == (classifier.target, classifier.adapter):
                    cards[name] = replace(card, is_guard=True)
        return cls(by_id, cards, alias_for)

    def find(self, name: str) -> ModelCard | None:
        """The card of a name, listed or not."""
        if (card := self.cards.get(name)) is not None:
            return card
        alias = self.alias_for(name)
        target = None if alias is None else self.cards.get(alias.target)
        card = None if alias is None or target is None else _like(target, alias)
        return card if card is not None and card.is_possible else None

    def without(self, model: str) -> "Listing":
        """The listing without that model and its aliases."""
        return Listing(
            {name: spec for name, spec in self.models.items() if name != model},
            {name: card for name, card in self.cards.items() if card.target != model},
            self.alias_for,
        )


def _like(target: ModelCard, alias: ModelCard) -> ModelCard:
    """The alias's card with what it takes from its target's."""
    return replace(
        alias,
        created=target.created,
        owned_by=target.owned_by,
        is_relayed=target.is_relayed,
        sampling=target.sampling,
        notes=target.notes,
        embeds=target.embeds,
        is_guard=target.is_guard and not alias.adapter,
    )


# Returns the current listing, or None if it has not changed since the last call.
PollListing = Callable[[], Listing | None]


# Returns the models that backends currently announce; must not block.
Announced = Callable[[], tuple[ModelSpec, ...]]


class ModelRegistry:
    """The owner's `files` first, then the store's models and those that backends announce; `aliases` of all
    of them.

    A pulled model is listed without a restart: the store's folder is checked whenever a name is requested,
    and read again if it has changed. `drafts` are the ids of models' draft models; those that aren't here are
    left out.
    """

    def __init__(
        self,
        files: Sequence[LocalModel],
        aliases: Sequence[ModelCard],
        store: ModelStore | None,
        announced: Announced = tuple,
        defaults_of: FindDefaults = published_defaults,
        alias_for: AliasFor = no_alias,
        notes_of: FindNotes = no_notes,
        embeds: Embeds = unknown_kind,
        embedding_aliases: Collection[str] = (),
        drafts: Mapping[str, str] = _NO_DRAFTS,
        guard: str = "",
        guard_aliases: Collection[str] = (),
    ) -> None:
        self._files = files
        self._drafts = drafts
        self._alias_for = alias_for
        self._notes_of = notes_of
        self._embeds = embeds
        self._embedding_aliases = embedding_aliases
        self._guard = guard
        self._guard_aliases = guard_aliases
        self._aliases = aliases
        self._store = store
        self._announced = announced
        self._defaults_of = defaults_of
        self._seen_ns = -1
        self._seen_announced: tuple[ModelSpec, ...] = ()

    def poll(self) -> Listing | None:
        changed_ns = 0 if self._store is None else self._store.changed_ns()
        announced = self._announced()
        if changed_ns == self._seen_ns and announced == self._seen_announced:
            return None
        is_settled = time.time_ns() - changed_ns > _TICK_NS
        self._seen_ns = changed_ns if is_settled else -1
        self._seen_announced = announced
        if self._store is None:
            return self._listing([*self._files, *announced])
        pulled = list(self._store.models())
        here = [file for file in self._files if file.source == "file" or file in pulled]
        return self._listing([*here, *pulled, *announced])

    def _listing(self, models: Sequence[ModelSpec]) -> Listing:
        here = {model.id: model for model in reversed(models) if isinstance(model, LocalModel)}
        return Listing.of(
            [self._with_draft(model, here) for model in models],
            self._aliases,
            self._defaults_of,
            self._alias_for,
            self._notes_of,
            self._embeds,
            self._embedding_aliases,
            self._guard,
            self._guard_aliases,
        )

    def _with_draft(self, model: ModelSpec, here: Mapping[str, LocalModel]) -> ModelSpec:
        draft = here.get(self._drafts.get(model.id, ""))
        return replace(model, draft=draft) if draft and isinstance(model, LocalModel) else model

"""The names that clients may use, and the models behind them. Loads nothing."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from myna.catalog.store import ModelStore
from myna.core.backend import LocalModel, ModelSpec

CardKind = Literal["model", "alias", "instruct"]

# File systems' clocks tick this coarsely: two changes within a tick look like one.
_TICK_NS: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A name that clients may use. `target` is the id of the model that answers (its own id, unless it
    is an alias). An `instruct` alias wraps raw string prompts in the model's chat template. `is_relayed`:
    requests go on to another server as they are, so nothing in them is checked here."""

    id: str
    created: int
    owned_by: str
    kind: CardKind
    target: str
    is_relayed: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """`models` by id, and the card of every name, models before aliases."""

    models: Mapping[str, ModelSpec]
    cards: Mapping[str, ModelCard]

    @classmethod
    def of(cls, models: Iterable[ModelSpec], aliases: Iterable[ModelCard]) -> "Listing":
        """The first of two models with one id stays; an alias hides no model and needs one to stand for."""
        by_id: dict[str, ModelSpec] = {}
        for model in models:
            by_id.setdefault(model.id, model)
        cards = {
            model.id: ModelCard(model.id, model.created, model.owned_by, "model", model.id, model.is_relayed)
            for model in by_id.values()
        }
        for alias in aliases:
            target = by_id.get(alias.target)
            if target is not None and alias.id not in cards:
                cards[alias.id] = replace(
                    alias,
                    created=target.created,
                    owned_by=target.owned_by,
                    is_relayed=target.is_relayed,
                )
        return cls(by_id, cards)

    def without(self, model: str) -> "Listing":
        """The listing without that model and the aliases that stand for it."""
        return Listing(
            {name: spec for name, spec in self.models.items() if name != model},
            {name: card for name, card in self.cards.items() if card.target != model},
        )


# The listing of now, or None where it is the one that was given last.
Look = Callable[[], Listing | None]


# The models that backends announce now, at once.
Announced = Callable[[], tuple[ModelSpec, ...]]


class ModelRegistry:
    """The owner's own `files` first, then whatever the store holds and the backends announce now; `aliases`
    onto all of them.

    A pulled model shows without a restart: the store's folder is looked at when a name is asked for, and
    read again when it has changed.
    """

    def __init__(
        self,
        files: Sequence[LocalModel],
        aliases: Sequence[ModelCard],
        store: ModelStore | None,
        announced: Announced = tuple,
    ) -> None:
        self._files = files
        self._aliases = aliases
        self._store = store
        self._announced = announced
        self._seen_ns = -1
        self._seen_announced: tuple[ModelSpec, ...] = ()

    def look(self) -> Listing | None:
        changed_ns = 0 if self._store is None else self._store.changed_ns()
        announced = self._announced()
        if changed_ns == self._seen_ns and announced == self._seen_announced:
            return None
        is_settled = time.time_ns() - changed_ns > _TICK_NS
        self._seen_ns = changed_ns if is_settled else -1
        self._seen_announced = announced
        if self._store is None:
            return Listing.of([*self._files, *announced], self._aliases)
        pulled = list(self._store.models())
        here = [file for file in self._files if file.source == "file" or file in pulled]
        return Listing.of([*here, *pulled, *announced], self._aliases)

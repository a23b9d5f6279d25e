"""Which models a server offers under which names, out of settings and what is on this machine."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from myna.catalog.aliases import alias_card, default_alias_cards
from myna.catalog.pool import ModelCard
from myna.catalog.store import LocalModel, ModelStore, local_file
from myna.cli.pull import fetch
from myna.core.errors import ConfigurationError
from myna.settings import AliasSetting, Settings


@dataclass(frozen=True, slots=True)
class Offer:
    """`default` is the id of the model that is loaded at the start and that the default aliases mean."""

    default: str
    files: tuple[LocalModel, ...]
    aliases: tuple[ModelCard, ...]
    store: ModelStore


def choose_offer(settings: Settings) -> Offer:
    """The default model, fetched if need be; then the user's own files, then all that were pulled.

    Raises what `fetch` raises, `ModelFileError`, and `ConfigurationError` for names that clash.
    """
    store = ModelStore(settings.home / "models")
    own = [replace(local_file(setting.path), id=setting.id) for setting in settings.models]
    default = find_default(settings, own)
    files = {default.id: default}
    for model in own:
        if files.setdefault(model.id, model) != model:
            raise ConfigurationError(f"Two models have the id {model.id!r}; rename one under [models].")
    if settings.engine != "fake":
        for pulled in store.models():
            files.setdefault(pulled.id, pulled)
    aliases = [_alias(setting, default.id, files) for setting in settings.aliases]
    return Offer(default.id, tuple(files.values()), (*aliases, *default_alias_cards(default.id)), store)


def find_default(settings: Settings, own: list[LocalModel]) -> LocalModel:
    """The model that `model` names: one of the user's own ids, a file, or an id to fetch."""
    name = settings.model
    if settings.engine == "fake":
        return LocalModel("fake", Path("fake"), "myna", int(time.time()), 0, "file")
    if name.endswith(".gguf") and not name.startswith("hf:"):
        return local_file(Path(name).expanduser())
    for model in own:
        if model.id == name:
            return model
    return fetch(name, settings)


def _alias(setting: AliasSetting, default: str, files: dict[str, LocalModel]) -> ModelCard:
    target = setting.target or default
    if setting.name in files:
        raise ConfigurationError(f"The alias {setting.name!r} has the name of a model; choose another.")
    if target not in files:
        raise ConfigurationError(
            f"The alias {setting.name!r} stands for {target!r}, which is not on this machine; pull it, or "
            f"name one of {', '.join(files)}."
        )
    return alias_card(setting.name, target, setting.kind)

"""The models that a server offers and their names, from the settings and the files on this machine."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from myna.backends.table import Backends
from myna.catalog.aliases import (
    EMBEDDING_ALIASES,
    MODERATION_ALIASES,
    alias_card,
    default_alias_cards,
    is_pattern,
    pattern_aliases,
    unlisted_aliases,
)
from myna.catalog.catalog_file import bundled_catalog
from myna.catalog.memory import read_memory
from myna.catalog.memory_planner import WORKER_BYTES, capacity
from myna.catalog.names import is_address
from myna.catalog.registry import (
    AliasFor,
    Announced,
    Embeds,
    ModelCard,
    ModelNotes,
    ModelRegistry,
    PollListing,
    no_alias,
    unknown_kind,
)
from myna.catalog.store import ModelStore, local_file
from myna.cli.backends import backends_of
from myna.cli.console import megabytes
from myna.cli.pull import fetch
from myna.core.backend import LocalModel, ModelSpec, without_path
from myna.core.errors import ConfigurationError, ModelFileError, ModelTooLarge
from myna.core.paths import expand_user
from myna.core.sampling_defaults import SamplingDefaults
from myna.core.translatable import N_
from myna.setting_values import PUBLISHED, AliasSetting, DefaultsSetting
from myna.settings import DEFAULT_MODEL, Settings

FAKE: Final = "fake"
_FAKE_CREATED: Final = 1_764_000_000
_log: Final = logging.getLogger(__name__)


def _fake(name: str) -> LocalModel:
    return LocalModel(name, Path(name), "myna", _FAKE_CREATED, 0, "file")


FAKE_EMBEDDING: Final = _fake("fake-embedding")

# Finds a model of the catalog or a hub by its name; `fetch` downloads it if necessary.
Find = Callable[[str, Settings], LocalModel]
# Whether a backend itself provides a model with that id, now or later.
MayAnnounce = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class ServedModels:
    """`default` is the id of the model that is loaded at the start and that the default aliases refer to.
    `files` are the user's own, and the default if it is a file; without a `store`, pulled models are not
    offered. `sampling` are the defaults in the settings, `problems` say why files can't be used, by id;
    `drafts` are the ids of draft models; `guard` is the name of the one that classifies texts."""

    default: str
    files: tuple[LocalModel, ...]
    aliases: tuple[ModelCard, ...]
    store: ModelStore | None
    sampling: DefaultsSetting = PUBLISHED
    alias_for: AliasFor = no_alias
    problems: Mapping[str, str] = field(default_factory=dict)
    drafts: Mapping[str, str] = field(default_factory=dict)
    guard: str = ""

    @property
    def first(self) -> LocalModel | None:
        """The default model, if it is here."""
        return next((file for file in self.files if file.id == self.default), None)

    def look(self, announced: Announced = tuple, embeds: Embeds = unknown_kind) -> PollListing:
        """A function that returns the current list of models, with those that backends announce."""
        return ModelRegistry(
            self.files,
            self.aliases,
            self.store,
            announced,
            self._defaults_of,
            self.alias_for,
            self._notes_of,
            embeds,
            EMBEDDING_ALIASES,
            self.drafts,
            self.guard,
            MODERATION_ALIASES,
        ).poll

    def _defaults_of(self, model: ModelSpec) -> SamplingDefaults:
        catalog = bundled_catalog() if self.store is None else self.store.catalog
        return self.sampling.of(model.id).over(catalog.published_defaults(model))

    def _notes_of(self, model: ModelSpec) -> ModelNotes:
        entry = None if self.store is None else self.store.catalog.entry_of(model)
        return ModelNotes(entry.capabilities if entry else (), self.problems.get(model.id, ""))

    def forget(self, model: LocalModel) -> None:
        """Delete a pulled model's files."""
        if self.store is not None:
            self.store.remove(model)


def choose_models(settings: Settings, find: Find = fetch) -> ServedModels:
    """The default model, downloaded if necessary; then the user's own files, then all pulled models.

    A file of the user's own that can't be used is logged and stays in the list; only the default has to be
    sound.

    Raises what `find` raises, `ModelFileError`, and `ConfigurationError` for names that clash.
    """
    store = None if settings.engine == FAKE else ModelStore.at(settings.home)
    backends = backends_of(settings)
    may_announce = backends.may_announce
    own, problems = _own_files(settings)
    is_elsewhere = settings.model not in own and _is_elsewhere(settings.model, backends, store)
    default = None if is_elsewhere else find_default(settings, own, find)
    first = [] if default is None else [default]
    fakes = [FAKE_EMBEDDING] if first == [_fake(FAKE)] else []
    own_files = tuple(dict.fromkeys([*first, *fakes, *own.values()]))
    files: dict[str, LocalModel] = {}
    for model in [*own_files, *(store.models() if store else ())]:
        if (other := files.setdefault(model.id, model)).path != model.path:
            raise ConfigurationError(
                N_(
                    "Two models have the id {model!r}: {path} and {other_path}. Rename one under [models].",
                    model=model.id,
                    path=other.path,
                    other_path=model.path,
                )
            )
    default_id = settings.model if default is None else default.id
    aliases = _alias_cards(settings.aliases, default_id, files, may_announce)
    prompts = (
        alias_card(f"{one.model}:{one.name}", one.model, "alias", one.prefix) for one in settings.prompts
    )
    # An embedding model can't answer for OpenAI's chat models.
    generates = default is None or not backends.embeds(default)
    # A name that another server may offer is not taken from it while that server can't be reached.
    unlisted = unlisted_aliases(default_id) if generates else no_alias
    by_pattern = pattern_aliases([card for card in aliases if is_pattern(card.id)])
    listed = [card for card in aliases if not is_pattern(card.id)]
    known = default_alias_cards(default_id) if generates else []
    names = (*listed, *prompts, *(card for card in known if by_pattern(card.id) is None))
    _check_guard(settings.moderation, {*files, *(card.id for card in names)}, may_announce)
    return ServedModels(
        default_id,
        own_files,
        names,
        store,
        settings.defaults,
        lambda name: by_pattern(name) or (None if may_announce(name) else unlisted(name)),
        problems,
        _drafts(settings, files),
        settings.moderation,
    )


def _check_guard(guard: str, known: Collection[str], may_announce: MayAnnounce) -> None:
    """Raise `ConfigurationError` for a guard model that isn't here."""
    if guard and guard not in known and not may_announce(guard):
        raise ConfigurationError(
            N_(
                "The guard model {model!r}, which the setting moderation names, is not on this machine; "
                "download it with: myna pull {model}",
                model=guard,
            )
        )


def _drafts(settings: Settings, files: Mapping[str, LocalModel]) -> dict[str, str]:
    """The ids of draft models. Raises `ConfigurationError` for one that isn't here."""
    drafts = {model.id: model.draft for model in settings.models if model.draft}
    for model, draft in drafts.items():
        if draft not in files:
            raise ConfigurationError(
                N_(
                    "The draft model {draft!r} of {model!r} is not on this machine; download it with: "
                    "myna pull {draft}",
                    draft=draft,
                    model=model,
                )
            )
    return drafts


def find_default(settings: Settings, own: Mapping[str, LocalModel], find: Find) -> LocalModel:
    """The model that the setting `model` names: an id of the user's own files, a path, or an id to find."""
    name = settings.model
    if name in own:
        return own[name]
    if settings.engine == FAKE:
        return _fake(FAKE)
    if _is_path(name):
        return local_file(expand_user(name))
    return find(name, settings)


def _is_path(model: str) -> bool:
    """Whether the name is a file's path, not an id: also if the file isn't GGUF, so that the error is about
    the file."""
    if is_address(model):
        return False
    path = Path(model)
    if model.startswith(("/", "./", "../", "~")) or path.is_file() or (path / "config.json").is_file():
        return True
    return model.endswith(".gguf") and ":" not in model


def _is_elsewhere(model: str, backends: Backends, store: ModelStore | None) -> bool:
    """Whether a backend brings the default model. A backend that may merely offer one of that name doesn't
    take away a model that is here, nor the one that Myna chooses itself."""
    if model in {announced.id for announced in backends.announced()}:
        return True
    if _is_path(model) or is_address(model) or model == DEFAULT_MODEL:
        return False
    is_here = store is not None and store.find(model) is not None
    return not is_here and backends.may_announce(model)


def _own_files(settings: Settings) -> tuple[dict[str, LocalModel], dict[str, str]]:
    """The user's own files, and why some can't be used, by id. Raises `ModelFileError` for the default."""
    own: dict[str, LocalModel] = {}
    problems: dict[str, str] = {}
    for setting in settings.models:
        if setting.path is not None:
            own[setting.id], problem = _own_file(setting.id, setting.path)
            if problem is not None:
                if setting.id == settings.model:
                    raise problem
                _log.error("The model %r can't be used until its file is replaced: %s", setting.id, problem)
                problems[setting.id] = str(without_path(own[setting.id], problem.text))
    return own, problems


def _own_file(id: str, path: Path) -> tuple[LocalModel, ModelFileError | None]:
    """The file, and why it can't be used, if so: it stays in the list, and works once it is replaced."""
    try:
        return replace(local_file(path), id=id), None
    except ModelFileError as exc:
        is_file = path.is_file()
        modified, size = (int(path.stat().st_mtime), path.stat().st_size) if is_file else (0, 0)
        return LocalModel(id, path.absolute(), "user", modified, size, "file"), exc


def check_sizes(served: ServedModels, limit_bytes: int) -> None:
    """Warn about models that can never be loaded here. Raises `ModelTooLarge` if the default is one."""
    most = capacity(read_memory(), limit_bytes)
    for file in served.files:
        if file.num_bytes + WORKER_BYTES > most:
            error = ModelTooLarge(
                N_(
                    "The model {model!r} needs {size} without its KV cache, and models may use {limit} "
                    "here. Raise models_memory if the machine has more, or choose a smaller model.",
                    model=file.id,
                    size=megabytes(file.num_bytes),
                    limit=megabytes(most),
                )
            )
            if file.id == served.default:
                raise error
            _log.warning("%s", error.message)


def _alias_cards(
    settings: tuple[AliasSetting, ...],
    default: str,
    files: Mapping[str, LocalModel],
    may_announce: MayAnnounce,
) -> list[ModelCard]:
    """An alias may refer to another; it is of kind `instruct` if it or an alias on the way is. A backend's
    model comes before a default alias of that name, as it does for clients."""
    targets = {card.id: card for card in default_alias_cards(default) if not may_announce(card.id)}
    for setting in settings:
        if setting.name in files:
            raise ConfigurationError(
                N_("The alias {name!r} has the name of a model; choose another.", name=setting.name)
            )
        adapter = "" if setting.adapter is None else setting.name
        targets[setting.name] = alias_card(
            setting.name, setting.target or default, setting.kind, adapter=adapter
        )
    for setting in settings:
        if setting.adapter is not None:
            _check_adapter(setting, targets, files)
    return [_resolve(setting.name, targets, files, may_announce) for setting in settings]


def _check_adapter(
    setting: AliasSetting, targets: Mapping[str, ModelCard], files: Mapping[str, LocalModel]
) -> None:
    target = files.get(setting.target)
    if target is None and setting.target in targets:
        raise ConfigurationError(
            N_(
                "The alias {name!r} has an adapter, so that it must name a model; {target!r} is an alias.",
                name=setting.name,
                target=setting.target,
            )
        )
    if target is not None and not target.path.is_dir():
        raise ConfigurationError(
            N_(
                "The adapter of {name!r} can't be used: vLLM runs adapters, with models in folders of "
                "safetensors, and {target!r} is a GGUF file. Merge the adapter into the model instead.",
                name=setting.name,
                target=setting.target,
            )
        )


def _resolve(
    name: str, targets: Mapping[str, ModelCard], files: Mapping[str, LocalModel], may_announce: MayAnnounce
) -> ModelCard:
    way, kind, adapter = [name], targets[name].kind, targets[name].adapter
    while (target := targets[way[-1]].target) not in files:
        if target not in targets and may_announce(target):
            break
        if target in way:
            if target == name and len(way) == 1:
                raise ConfigurationError(
                    N_("The alias {name!r} refers to itself; name a model for it.", name=name)
                )
            raise ConfigurationError(
                N_(
                    "The alias {name!r} does not resolve to a model: {chain}. Name a model for one of them.",
                    name=name,
                    chain=" → ".join([*way, target]),
                )
            )
        if target not in targets:
            raise ConfigurationError(
                N_(
                    "The alias {name!r} refers to {target!r}, which is not on this machine; pull it, or "
                    "name one of {known}.",
                    name=way[-1],
                    target=target,
                    known=", ".join(files),
                )
            )
        kind = "instruct" if targets[target].kind == "instruct" else kind
        adapter = targets[target].adapter or adapter
        way.append(target)
    return alias_card(name, target, kind, adapter=adapter)

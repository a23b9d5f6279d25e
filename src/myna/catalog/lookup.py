"""From the name that a person gave to a model: here, in the catalog or on a hub. Knows no network."""

from collections.abc import Callable, Sequence

from myna.catalog.discovery import FoundModel, find_models
from myna.catalog.entries import CatalogEntry
from myna.catalog.names import HubName, parse_name
from myna.catalog.repository import choose_files
from myna.catalog.store import ModelStore
from myna.core.backend import LocalModel
from myna.core.errors import DownloadFailed, ModelNotFound
from myna.core.translatable import N_

FindModels = Callable[[], Sequence[FoundModel]]


def wanted_model(name: str, store: ModelStore) -> CatalogEntry | HubName:
    """What would have to be downloaded for that name. Raises `ModelNotFound` with the nearest id."""
    parsed = parse_name(name)
    catalog = store.catalog
    if isinstance(parsed, HubName):
        entry = None if parsed.wanted or parsed.revision else catalog.get(parsed.repository)
        return entry or parsed
    entry = catalog.find(parsed.name)
    if parsed.quantization.removeprefix("UD-") not in ("", entry.quantization.removeprefix("UD-")):
        raise ModelNotFound(
            N_(
                "The catalog has {model} as {quantization} only. For another quantization, give its "
                "repository: owner/repository:{wanted}.",
                model=entry.id,
                quantization=entry.quantization,
                wanted=parsed.quantization,
            ),
            param="model",
        )
    return entry


def find_local(name: str, store: ModelStore, find: FindModels = find_models) -> LocalModel | None:
    """The model of that name on this machine: pulled by Myna, or by another program (`find`). Raises
    `ModelNotFound` for a name that nothing has."""
    if model := store.find(name):
        return model
    found = find()
    for other in found:
        if name.lower() == other.id.lower():
            return other.local()
    wanted = wanted_model(name, store)
    if isinstance(wanted, HubName):
        return store.find(wanted.id) or _in_repository(wanted, found)
    if model := store.find(wanted.id):
        return model
    return next((other.local(wanted.id) for other in found if other.is_copy_of(wanted)), None)


def _in_repository(name: HubName, found: Sequence[FoundModel]) -> LocalModel | None:
    """The model that another program has from that repository."""
    models = [model for model in found if model.repository.lower() == name.repository.lower()]
    files = {model.as_repository_file(): model for model in models}
    try:
        (chosen, *_) = choose_files(list(files), name.wanted)
    except DownloadFailed:
        return None
    return files[chosen].local(name.id)

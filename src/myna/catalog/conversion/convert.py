"""One model's folder to one GGUF file in the models' folder."""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from myna.catalog.conversion.architectures import Architecture, Config, find_architecture, output_steps
from myna.catalog.conversion.folder import ModelFolder, Module
from myna.catalog.conversion.gguf_writer import NewTensor, Value, file_bytes, write_gguf
from myna.catalog.conversion.safetensors import StoredTensor
from myna.catalog.conversion.weight_types import ENCODERS, FILE_TYPES, type_of
from myna.catalog.partial import Progress, locked
from myna.catalog.store import ModelStore, PulledRecord, slug
from myna.core.backend import LocalModel
from myna.core.errors import ModelFileError
from myna.core.translatable import N_

MAX_ID_CHARS: Final = 100
_QUANTIZATION_VERSION: Final = 2  # of ggml's blocks
_DENSE: Final = ("dense_2", "dense_3")


@dataclass(frozen=True, slots=True)
class Conversion:
    """The content of a GGUF file, checked but not yet written."""

    metadata: Mapping[str, Value]
    tensors: Sequence[NewTensor]

    @property
    def num_bytes(self) -> int:
        return file_bytes(self.metadata, self.tensors)


def convert(path: Path, name: str, weight_type: str) -> Conversion:
    """Read and check the model in the folder at `path`. Raises `ModelFileError`."""
    folder = ModelFolder(path)
    config = Config(folder)
    architecture = find_architecture(folder, config)
    pooling, dense = output_steps(folder)
    if dense and architecture.gguf != "gemma-embedding":
        raise folder.error(f"dense layers after pooling are not supported for {architecture.gguf}")
    settings = architecture.settings(config)
    stored = _renamed(folder, architecture, settings)
    if unused := architecture.unused_positions(config):
        positions = stored["position_embd.weight"]
        if len(positions.shape) != 2 or positions.shape[0] <= unused:
            raise folder.error(f"its table of positions has no more than {unused}")
        stored["position_embd.weight"] = positions.without_first(unused)
    tensors = [_new_tensor(name, tensor, architecture, weight_type) for name, tensor in stored.items()]
    metadata: dict[str, Value] = {
        "general.architecture": architecture.gguf,
        "general.type": "model",
        "general.name": name,
        "general.file_type": FILE_TYPES[weight_type],
        "general.quantization_version": _QUANTIZATION_VERSION,
    }
    for key, value in (settings | {"pooling_type": pooling}).items():
        metadata[key if key.startswith("tokenizer.") else f"{architecture.gguf}.{key}"] = value
    for stem, module in zip(_DENSE, dense, strict=False):
        tensor = _dense(folder, module)
        metadata[f"{architecture.gguf}.{stem}_feat_in"] = tensor.shape[1]
        metadata[f"{architecture.gguf}.{stem}_feat_out"] = tensor.shape[0]
        tensors.append(_new_tensor(f"{stem}.weight", tensor, architecture, weight_type))
    if len(dense) not in (0, len(_DENSE)):
        raise folder.error(
            f"it has {len(dense)} dense layers after pooling; 0 and {len(_DENSE)} are supported"
        )
    metadata |= architecture.tokenizer(folder, stored["token_embd.weight"].shape[0])
    return Conversion(metadata, tensors)


def import_folder(
    path: Path,
    store: ModelStore,
    progress: Progress,
    check: Callable[[Path], object],
    *,
    name: str = "",
    weight_type: str = "q8_0",
) -> LocalModel:
    """Convert the model in that folder to a file of the store, which appears under its name once it is
    complete and `check` accepts it. Raises `ModelFileError`."""
    model = _new_id(path, name)
    conversion = convert(path, model, weight_type)
    unfinished = store.partial_of(f"import-{model.lower()}")
    target = store.folder / f"{model}.gguf"
    try:
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        with locked(unfinished.with_name(f"{unfinished.name}.lock"), progress):
            _expect_free(model, store)
            _expect_room(model, conversion.num_bytes, store)
            try:
                _write(conversion, unfinished, target, progress, check)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            created = int(time.time())
            store.write(PulledRecord(model, (target.name,), "user", created, "import"))
    except OSError as exc:
        raise ModelFileError(
            N_("{path} can't be written: {reason}.", path=target, reason=exc.strerror or exc)
        ) from exc
    return LocalModel(model, target, "user", created, target.stat().st_size, "import")


def _new_id(path: Path, name: str) -> str:
    """A folder's name is made an id, one that was chosen must be one."""
    model = slug(name or path.resolve().name.lower())
    if len(model) > MAX_ID_CHARS or (name and name != model):
        raise ModelFileError(
            N_(
                "{name!r} can't be a model's id; choose a --name of up to {most} letters, digits, '.', '_' "
                "and '-' that doesn't begin or end with '.'.",
                name=(name or model)[: 2 * MAX_ID_CHARS],
                most=MAX_ID_CHARS,
            )
        )
    return model


def _expect_free(model: str, store: ModelStore) -> None:
    """Neither a model of that id, nor files of another one that the import would replace."""
    taken = {f"{model}.gguf".lower(), f"{model}.json".lower()}
    if store.find(model) is not None or any(path.name.lower() in taken for path in store.folder.iterdir()):
        raise ModelFileError(
            N_(
                "There is a model {model} already; choose another --name, or remove it: myna rm {model}",
                model=model,
            )
        )


def _expect_room(model: str, total: int, store: ModelStore) -> None:
    free = shutil.disk_usage(store.folder).free
    if total > free:
        raise ModelFileError(
            N_(
                "{model} needs {total:,} bytes in {folder}, which has {free:,} left.",
                model=model,
                total=total,
                folder=store.folder,
                free=free,
            )
        )


def _write(
    conversion: Conversion,
    unfinished: Path,
    target: Path,
    progress: Progress,
    check: Callable[[Path], object],
) -> None:
    """The target appears once it is complete and checked."""
    unfinished.mkdir(exist_ok=True)
    written = unfinished / target.name
    write_gguf(
        written,
        conversion.metadata,
        conversion.tensors,
        lambda num_bytes: progress.update(num_bytes, conversion.num_bytes),
    )
    check(written)
    written.replace(target)


def _renamed(
    folder: ModelFolder, architecture: Architecture, settings: Mapping[str, Value]
) -> dict[str, StoredTensor]:
    """The tensors by GGUF's names: all that the architecture has, and no others."""
    found: dict[str, StoredTensor] = {}
    for name, tensor in folder.tensors().items():
        try:
            renamed = architecture.renamed(name)
        except KeyError:
            raise folder.error(f"the tensor {name} has no place in {architecture.gguf}") from None
        if renamed in found:
            raise folder.error(f"two tensors are called {renamed}")
        if renamed is not None:
            found[renamed] = tensor
    num_layers = settings["block_count"]
    assert isinstance(num_layers, int)
    if missing := sorted(architecture.expected(num_layers) - found.keys()):
        raise folder.error(f"it lacks {len(missing)} tensors, among them {missing[0]}")
    if len(found["token_embd.weight"].shape) != 2:
        raise folder.error("its token embedding is not a matrix")
    return found


def _dense(folder: ModelFolder, module: Module) -> StoredTensor:
    activation = str(module.config.get("activation_function", "")).rsplit(".", 1)[-1]
    tensors = folder.tensors(module.folder) if module.folder else {}
    if (
        activation != "Identity"
        or set(tensors) != {"linear.weight"}
        or len(tensors["linear.weight"].shape) != 2
    ):
        raise folder.error(f"its {module.folder} has a bias or an activation, which are not supported")
    return tensors["linear.weight"]


def _new_tensor(name: str, tensor: StoredTensor, architecture: Architecture, weight_type: str) -> NewTensor:
    kind = type_of(weight_type, tensor.shape, is_exact=name in architecture.exact)
    shift = 1.0 if architecture.adds_one_to_norms and name.endswith("norm.weight") else 0.0
    if not tensor.shape or math.prod(tensor.shape) == 0:
        raise _unusable(tensor, "is empty")
    return NewTensor(name, tensor.shape, kind.upper(), _pieces(tensor, kind, shift))


def _unusable(tensor: StoredTensor, what: str) -> ModelFileError:
    return ModelFileError(
        N_("{path} can't be imported: {what}.", path=tensor.path, what=f"the tensor {tensor.name} {what}")
    )


def _pieces(tensor: StoredTensor, kind: str, shift: float) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        encode = ENCODERS[kind]
        for rows in tensor.rows():
            if not np.isfinite(rows).all():
                raise _unusable(tensor, "has values that are not finite numbers")
            yield encode(rows + shift if shift else rows)

    return pieces

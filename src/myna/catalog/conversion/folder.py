"""A model's folder as Hugging Face lays it out: its modules and tensors, read within limits.

Names of other files that occur in these files must be plain names: nothing outside the folder is read."""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from myna.catalog.conversion.safetensors import StoredTensor, read_tensors
from myna.core.errors import ModelFileError
from myna.core.translatable import N_, Translatable
from myna.prompts.model_folder import Json, JsonFolder

MAX_SHARDS: Final = 512
_WEIGHTS: Final = "model.safetensors"
_SHARD_INDEX: Final = "model.safetensors.index.json"
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class _ShardIndex(msgspec.Struct):
    weight_map: dict[str, str]


class _Listed(msgspec.Struct):
    type: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Module:
    """One step. `type` is the name of its class."""

    type: str
    folder: str
    config: Json


class ModelFolder(JsonFolder):
    """The files of one model. Every method raises `ModelFileError`, naming the file."""

    def modules(self) -> list[Module]:
        """The steps from text to vector, as sentence-transformers lists them."""
        modules = []
        for module in self.decoded("modules.json", list[_Listed]) or []:
            config = self.json(f"{self._plain(module.path)}/config.json") if module.path else {}
            modules.append(Module(module.type.rsplit(".", 1)[-1], module.path, config))
        return modules

    def tensors(self, folder: str = "") -> dict[str, StoredTensor]:
        """The tensors of the model, or of a module in its folder, by name."""
        path = self.path / self._plain(folder) if folder else self.path
        if (path / _WEIGHTS).is_file():
            return read_tensors(path / _WEIGHTS)
        index = self.decoded(_SHARD_INDEX, _ShardIndex) if not folder else None
        if index is None:
            raise self.error(
                N_("it has no {name}; other formats, such as pytorch_model.bin, can run code", name=_WEIGHTS)
            )
        names = sorted({self._plain(name) for name in index.weight_map.values()})
        if len(names) > MAX_SHARDS:
            raise self.error(f"its weights are in more than {MAX_SHARDS} files")
        tensors: dict[str, StoredTensor] = {}
        for name in names:
            shard = read_tensors(path / name)
            if twice := sorted(shard.keys() & tensors.keys()):
                raise self.error(f"the tensor {twice[0]} is in two of its files")
            tensors |= shard
        return tensors

    def error(self, what: str | Translatable) -> ModelFileError:
        return ModelFileError(N_("{path} can't be imported: {what}.", path=self.path, what=what))

    def _plain(self, name: str) -> str:
        if not _PLAIN_NAME.fullmatch(name):
            raise self.error(f"it names the file {name[:80]!r}, which is not in it")
        return name

"""A model's folder as Hugging Face lays it out: its JSON files and tensors, read within limits.

Names of other files that occur in these files must be plain names: nothing outside the folder is read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from myna.catalog.conversion.safetensors import StoredTensor, read_tensors
from myna.core.errors import ModelFileError
from myna.core.translatable import N_, Translatable

MAX_JSON_BYTES: Final = 64 << 20
MAX_SHARDS: Final = 512
_WEIGHTS: Final = "model.safetensors"
_SHARD_INDEX: Final = "model.safetensors.index.json"
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")

Json = Mapping[str, Any]
T = TypeVar("T")


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


class ModelFolder:
    """The files of one model. Every method raises `ModelFileError`, naming the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise ModelFileError(
                N_(
                    "{path} is not a folder; give the folder of a model that holds its config.json.",
                    path=path,
                )
            )
        if not (path / "config.json").is_file():
            raise ModelFileError(
                N_("{path} has no config.json; give the folder that holds a model's files.", path=path)
            )

    def json(self, name: str) -> Json:
        """A JSON file's object; empty if there is no such file."""
        return self.decoded(name, dict[str, Any]) or {}

    def decoded(self, name: str, kind: type[T]) -> T | None:
        """A JSON file's value, which must be of that type; None if there is no such file."""
        path = self.path / name
        try:
            if not path.is_file():
                return None
            if path.stat().st_size > MAX_JSON_BYTES:
                raise self.error(f"{name} is larger than {MAX_JSON_BYTES >> 20} MiB")
            data = path.read_bytes()
        except OSError as exc:
            raise self.error(f"{name} can't be read ({exc.strerror or exc})") from exc
        return self.decode(name, data, kind)

    def decode(self, name: str, data: bytes | msgspec.Raw, kind: type[T]) -> T:
        """JSON from the file of that name."""
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.ValidationError as exc:
            raise self.error(f"{name} is not as expected: {exc}") from None
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
            raise self.error(f"{name} is not JSON ({exc})") from None

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

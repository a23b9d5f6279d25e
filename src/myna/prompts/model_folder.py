"""The JSON files in a model's folder as Hugging Face lays it out, read within limits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from myna.core.errors import ModelFileError
from myna.core.translatable import N_, Translatable

MAX_JSON_BYTES: Final = 64 << 20

Json = Mapping[str, Any]
T = TypeVar("T")


class JsonFolder:
    """Every method raises `ModelFileError`, naming the file."""

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
        data = self.read(name)
        return None if data is None else self.decode(name, data, kind)

    def read(self, name: str) -> bytes | None:
        """A file's bytes; None if there is no such file."""
        path = self.path / name
        try:
            if not path.is_file():
                return None
            if path.stat().st_size > MAX_JSON_BYTES:
                raise self.error(f"{name} is larger than {MAX_JSON_BYTES >> 20} MiB")
            return path.read_bytes()
        except OSError as exc:
            raise self.error(f"{name} can't be read ({exc.strerror or exc})") from exc

    def decode(self, name: str, data: bytes | msgspec.Raw, kind: type[T]) -> T:
        """JSON from the file of that name."""
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.ValidationError as exc:
            raise self.error(f"{name} is not as expected: {exc}") from None
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
            raise self.error(f"{name} is not JSON ({exc})") from None

    def error(self, what: str | Translatable) -> ModelFileError:
        return ModelFileError(N_("The model in {path} can't be used: {what}.", path=self.path, what=what))

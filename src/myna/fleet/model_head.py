"""What a server needs of a replica's model: everything but its weights."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from myna.prompts.gguf import read_header

# What `prompts.folder_text` reads.
_TEXTS: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/tool_use.jinja",
)


class ModelHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """The header of a GGUF file of `num_bytes`, or the texts of a folder of safetensors by their names. Empty
    for the fake engine, whose models have no files."""

    header: bytes = b""
    num_bytes: int = 0
    texts: dict[str, bytes] = {}

    @classmethod
    def read(cls, path: Path) -> "ModelHead":
        """Raises `ModelFileError` and `OSError`."""
        if path.is_dir():
            found = [name for name in _TEXTS if (path / name).is_file()]
            return cls(texts={name: (path / name).read_bytes() for name in found})
        if not path.is_file():
            return cls()
        header = read_header(path)
        with path.open("rb") as file:
            data = file.read(min((tensor.offset for tensor in header.tensors), default=header.file_bytes))
        return cls(data, path.stat().st_size)

    def write(self, folder: Path, name: str) -> Path:
        """A file of the same size that holds nothing else, or a folder, unless it is there."""
        path = folder / (name if self.texts else f"{name}.gguf")
        if path.exists():
            return path
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder))
        try:
            for text, data in self.texts.items():
                (draft / text).parent.mkdir(exist_ok=True)
                (draft / text).write_bytes(data)
            if self.texts:
                draft.rename(path)
                return path
            with (draft / "header").open("wb") as file:
                file.write(self.header)
                file.truncate(self.num_bytes)
            return (draft / "header").rename(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(ModelHead)


def encode_head(head: ModelHead) -> bytes:
    return _encoder.encode(head)


def decode_head(data: bytes) -> ModelHead:
    return _decoder.decode(data)

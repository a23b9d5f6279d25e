"""Whether a model file turns texts into vectors, and how, by its metadata."""

import re
from pathlib import Path
from typing import Final

from myna.core.errors import ModelFileError
from myna.core.generator import Pooling
from myna.prompts.gguf import Header, read_first_metadata

_ENCODERS: Final = re.compile(r"(.*-)?bert(-.*)?|eurobert|gemma-embedding|t5encoder")
_POOLING: Final[dict[int, Pooling]] = {1: "mean", 2: "cls", 3: "last"}
NONE: Final = 0
RERANKING: Final = 4
_UNSPECIFIED: Final = -1


def is_encoder(architecture: str) -> bool:
    """Whether models of this architecture only read texts."""
    return _ENCODERS.fullmatch(architecture) is not None


def pooling_number(header: Header) -> int:
    """The file's `pooling_type`; for encoders that don't say it, the mean."""
    architecture = header.string("general.architecture", "")
    number = header.integer(f"{architecture}.pooling_type", _UNSPECIFIED)
    if number != _UNSPECIFIED:
        return number
    return 1 if is_encoder(architecture) else NONE


def find_pooling(header: Header) -> Pooling | None:
    """How an embedding model makes one vector of a text; None for a model that generates text."""
    return _POOLING.get(pooling_number(header))


def has_pooling(path: str | Path) -> bool:
    """`find_pooling` of a file, at once, without checking it: False if that needs more than its start."""
    try:
        return find_pooling(Header(str(path), 0, read_first_metadata(path), (), 0)) is not None
    except ModelFileError:
        return False

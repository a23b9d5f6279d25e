"""The tensor types of GGUF files, from the table that the C++ engine is compiled with, too
(`ggml_types.def`)."""

import re
from pathlib import Path
from typing import Final

_ROW: Final = re.compile(r"^TENSOR_TYPE\((\d+), (\w+), (\d+), (\d+)\)$", re.MULTILINE)


def _read_table() -> dict[int, tuple[str, int, int]]:
    text = Path(__file__).with_suffix(".def").read_text()
    rows = _ROW.findall(text)
    assert len(rows) == text.count("\nTENSOR_TYPE("), "a row of ggml_types.def is malformed"
    return {int(number): (name, int(values), int(size)) for number, name, values, size in rows}


# Number -> (name, weights per block, bytes per block).
BLOCKS: Final = _read_table()

"""The response: vectors as numbers or as base64, rendered in parts."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from myna.core.events import Embedded, Event, PromptDone

_PART_NUMBERS: Final = 16_384  # rendering them takes a millisecond or two

Vectors = npt.NDArray[np.float32]


class EmbeddingAccumulator:
    """A `streaming.Accumulator` of `num_inputs` vectors of `width` numbers, for one response body.
    With `dimensions`, they are cut to it and scaled to unit length again."""

    def __init__(
        self, model: str, num_inputs: int, width: int, *, dimensions: int | None, is_base64: bool
    ) -> None:
        self._model = model
        self._vectors = np.empty((num_inputs, width), np.float32)
        self._width = dimensions or width
        self._is_base64 = is_base64
        self._num_tokens = 0

    def feed(self, event: Event) -> None:
        """Process the next event."""
        if isinstance(event, Embedded):
            rows = np.frombuffer(event.vectors, "<f4").reshape(-1, self._vectors.shape[1])
            self._vectors[event.first : event.first + len(rows)] = rows
        elif isinstance(event, PromptDone):
            self._num_tokens += event.prompt_tokens

    def parts(self) -> Iterator[bytes]:
        """The body's JSON. It is compact, unlike OpenAI's: with a line for each number, it would be four
        times as large."""
        separator = b'{"object":"list","data":['
        per_part = max(1, _PART_NUMBERS // self._width)
        for start in range(0, len(self._vectors), per_part):
            vectors = self._cut(self._vectors[start : start + per_part])
            items = (self._item(start + i, vector) for i, vector in enumerate(vectors))
            yield separator + b",".join(items)
            separator = b","
        yield b'],"model":%s,"usage":{"prompt_tokens":%d,"total_tokens":%d}}\n' % (
            orjson.dumps(self._model),
            self._num_tokens,
            self._num_tokens,
        )

    def _cut(self, vectors: Vectors) -> Vectors:
        if self._width == vectors.shape[1]:
            return vectors
        cut = vectors[:, : self._width].astype(np.float64)
        norms = np.linalg.norm(cut, axis=1, keepdims=True)
        unit: Vectors = (cut / np.maximum(norms, np.finfo(np.float64).tiny)).astype(np.float32)
        return unit

    def _item(self, index: int, vector: Vectors) -> bytes:
        if self._is_base64:
            shown = b'"%s"' % b64encode(vector.astype("<f4").tobytes())
        else:  # the shortest decimals that read back to the same float32
            shown = orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY)
        return b'{"object":"embedding","index":%d,"embedding":%s}' % (index, shown)

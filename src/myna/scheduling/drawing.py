"""From who draws to arrays: the sampling batch of a step, kept while nothing but positions changes."""

from itertools import count
from typing import Final

import numpy as np

from myna.decoding.sampling import Draw, Sampled, SamplingBatch
from myna.decoding.sampling_batch import Words
from myna.scheduling.batches import Batch
from myna.scheduling.sequence import Sequence

_FEW: Final = 16
NOTHING_DRAWN = Sampled.empty(0, 0)


class Drawing:
    """Decoding repeats the same draws step after step; then only `position` moves on, in place."""

    __slots__ = ("_batch", "_drawers", "_next", "_rows")

    def __init__(self) -> None:
        self._drawers: list[Sequence] = []
        self._rows: list[int] = []
        self._batch: SamplingBatch | None = None
        self._next = -1

    def batch(self, step: Batch, masks: Words | None = None) -> SamplingBatch:
        """Arrays for the step's draws; valid until the next call. `masks` has a row for each draw of who has
        a grammar, in their order."""
        drawers, rows = step.drawers, step.draw_rows
        first = drawers[0].num_generated
        batch = self._batch
        if batch is not None and drawers == self._drawers and rows == self._rows and first == self._next:
            self._next = first + 1
            self._advance(batch)
            return batch
        mask_rows = count()
        assumed = step.assumed() if step.guesses else {}
        draws = [
            Draw(
                row,
                sequence.sampling.after(assumed.get(index, ())),
                sequence.num_generated + len(assumed.get(index, ())),
                -1 if sequence.grammar is None else next(mask_rows),
            )
            for index, (row, sequence) in enumerate(zip(rows, drawers, strict=True))
        ]
        batch = SamplingBatch.of(draws, masks)
        is_steady = (
            masks is None and not assumed and all(sequence.sampling.counts is None for sequence in drawers)
        )
        self._batch = batch if is_steady else None
        self._drawers, self._rows, self._next = drawers, rows, first + 1
        return batch

    @staticmethod
    def _advance(batch: SamplingBatch) -> None:
        """Few are counted up one by one: after a step, numpy's machinery is out of the caches."""
        position = batch.position
        if len(position) > _FEW:
            np.add(position, 1, out=position)
            return
        for index, value in enumerate(position.tolist()):
            position[index] = value + 1

    def forget(self) -> None:
        """The step came to nothing: its draws are made anew."""
        self._batch = None

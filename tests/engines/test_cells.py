"""The account of shared cells against a plain model of it."""

from hypothesis import given
from hypothesis import strategies as st

from myna.engines.cells import CellAllocator

CELLS = 40
steps = st.lists(
    st.tuples(
        st.sampled_from(("extend", "fork", "trim", "free")),
        st.integers(0, 4),
        st.integers(0, 4),
        st.integers(1, 12),
    ),
    max_size=60,
)


@given(steps)
def test_free_cells_are_those_that_no_sequence_holds(actions: list[tuple[str, int, int, int]]) -> None:
    ledger = CellAllocator(CELLS)
    model: dict[int, list[object]] = {}
    for verb, sequence, other, count in actions:
        held = model.get(sequence, [])
        if verb == "extend" and count <= ledger.num_free:
            ledger.extend(sequence, count)
            model[sequence] = [*held, *(object() for _ in range(count))]
        elif verb == "fork" and other not in model and count <= len(held):
            ledger.fork(sequence, other, count)
            model[other] = held[:count]
        elif verb == "trim" and sequence in model:
            ledger.trim(sequence, count)
            model[sequence] = held[:count]
        elif verb == "free":
            assert ledger.free(sequence) == (sequence in model)
            model.pop(sequence, None)
        used = {id(cell) for cells in model.values() for cell in cells}
        assert ledger.num_free == CELLS - len(used)
        assert all(ledger.length(s) == len(cells) for s, cells in model.items())

"""The order of service: the least served owner first; one owner's sequences by priority, then arrival."""

from hypothesis import given
from hypothesis import strategies as st

from myna.core.requests import GenerationRequest
from myna.decoding.output_processor import RequestOutput
from myna.decoding.token_table import TokenTable
from myna.scheduling.fair_queue import FairQueue
from myna.scheduling.sequence import Sequence, SequenceGroup


def waiting(name: str, owner: str, priority: int = 0, order: int = 0) -> Sequence:
    request = GenerationRequest(name, (1,), 1, owner=owner, priority=priority)
    output = RequestOutput(request, TokenTable([], [], frozenset()))
    return Sequence(SequenceGroup(0, order, request, output), output.choices[0])


def filled(*arrivals: tuple[str, str, int]) -> FairQueue[Sequence]:
    queue = FairQueue[Sequence]()
    for order, (name, owner, priority) in enumerate(arrivals):
        queue.push(waiting(name, owner, priority, order))
    return queue


def serve(queue: FairQueue[Sequence], num_tokens: int = 8) -> str:
    """Start the next sequence, which keeps its place; its share pays for the tokens."""
    share = queue.in_turn()[0]
    sequence = share.waiting[0]
    queue.pop(sequence)
    share.charge(sequence, num_tokens)
    return sequence.group.request.id


def names(queue: FairQueue[Sequence]) -> list[str]:
    return [serve(queue) for _ in range(len(queue))]


def test_owners_take_turns() -> None:
    queue = filled(
        ("a1", "a", 0), ("a2", "a", 0), ("a3", "a", 0), ("b1", "b", 0), ("c1", "c", 0), ("b2", "b", 0)
    )
    assert names(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_the_higher_priority_is_first_among_equally_served_owners() -> None:
    queue = filled(("low", "a", -1), ("normal", "b", 0), ("urgent", "c", 1))
    assert names(queue) == ["urgent", "normal", "low"]


def test_one_owners_sequences_are_served_by_priority() -> None:
    queue = filled(("low", "a", -1), ("urgent", "a", 1), ("normal", "a", 0), ("low 2", "a", -1))
    assert names(queue) == ["urgent", "normal", "low", "low 2"]


def test_a_higher_priority_gets_four_times_the_tokens_and_not_everything() -> None:
    arrivals = [(f"u{i}", "a", 1) for i in range(40)] + [(f"n{i}", "b", 0) for i in range(10)]
    served = names(filled(*arrivals))
    for start in range(0, 50, 5):
        assert sum(name[0] == "n" for name in served[start : start + 5]) == 1


def test_a_new_owner_is_next_and_has_no_credit_for_the_time_before() -> None:
    queue = filled(*((f"a{i}", "a", 0) for i in range(10)))
    assert [serve(queue) for _ in range(5)] == ["a0", "a1", "a2", "a3", "a4"]
    for i in range(3):
        queue.push(waiting(f"b{i}", "b", order=10 + i))
    assert names(queue) == ["a5", "b0", "a6", "b1", "a7", "b2", "a8", "a9"]


def test_a_preempted_sequence_is_its_owners_first_again() -> None:
    queue = filled(("a1", "a", 0), ("a2", "a", 0))
    first = queue.in_turn()[0].waiting[0]
    queue.pop(first)
    queue.push(first)
    queue.stop(first)
    assert names(queue) == ["a1", "a2"]


def test_a_removed_sequence_is_not_served_and_not_counted() -> None:
    queue = FairQueue[Sequence]()
    gone, stays = waiting("gone", "a"), waiting("stays", "a", order=1)
    queue.push(gone)
    queue.push(stays)
    assert queue.remove(gone)
    assert not queue.remove(gone)
    assert len(queue) == 1
    assert names(queue) == ["stays"]
    assert not queue.remove(stays)


def test_owners_without_sequences_are_forgotten() -> None:
    queue = FairQueue[Sequence]()
    sequence = waiting("only", "a")
    queue.push(sequence)
    serve(queue)
    assert len(list(queue.shares())) == 1
    queue.stop(sequence)
    assert not list(queue.shares())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 1))))
def test_everyone_is_served_once_and_turns_are_bounded(arrivals: list[tuple[str, int]]) -> None:
    """Between two turns of an owner, another has at most 16 turns: the weight of priority 1 against -1."""
    queue = filled(*((str(index), *arrival) for index, arrival in enumerate(arrivals)))
    assert len(queue) == len(arrivals)
    served = [arrivals[int(name)] for name in names(queue)]
    assert len(queue) == 0
    assert sorted(served) == sorted(arrivals)
    owners = [owner for owner, _ in served]
    for owner in set(owners):
        turns = [index for index, other in enumerate(owners) if other == owner]
        for start, end in zip([-1, *turns], turns, strict=False):
            between = owners[start + 1 : end]
            assert all(between.count(other) <= 17 for other in set(between))

"""The order of service: priority, then owners in turn, then arrival."""

from hypothesis import given
from hypothesis import strategies as st

from myna.core.requests import GenerationRequest
from myna.decoding.output_processor import RequestOutput
from myna.decoding.token_table import TokenTable
from myna.scheduling.queues import FairQueue
from myna.scheduling.sequence import Sequence, SequenceGroup


def waiting(name: str, owner: str, priority: int = 0) -> Sequence:
    request = GenerationRequest(name, (1,), 1, owner=owner, priority=priority)
    output = RequestOutput(request, TokenTable([], [], frozenset()))
    return Sequence(SequenceGroup(0, 0, request, output), output.choices[0])


def names(queue: FairQueue) -> list[str]:
    popped = []
    while sequence := queue.pop():
        popped.append(sequence.group.request.id)
    return popped


def test_owners_take_turns() -> None:
    queue = FairQueue()
    for name, owner in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c"), ("b2", "b")]:
        queue.push(waiting(name, owner))
    assert names(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_the_urgent_go_first_whoever_owns_them() -> None:
    queue = FairQueue()
    queue.push(waiting("low", "a", -1))
    queue.push(waiting("normal", "a"))
    queue.push(waiting("urgent", "b", 1))
    assert names(queue) == ["urgent", "normal", "low"]


def test_who_is_pushed_back_is_next_again() -> None:
    queue = FairQueue()
    for name, owner in [("a1", "a"), ("a2", "a"), ("b1", "b")]:
        queue.push(waiting(name, owner))
    first, second = queue.pop(), queue.pop()
    assert first and second
    queue.push_back(second)
    queue.push_back(first)
    assert names(queue) == ["a1", "b1", "a2"]


def test_who_was_removed_is_not_served_and_counts_no_more() -> None:
    queue = FairQueue()
    gone, stays = waiting("gone", "a"), waiting("stays", "a")
    queue.push(gone)
    queue.push(stays)
    assert queue.remove(gone)
    assert not queue.remove(gone)
    assert len(queue) == 1
    assert names(queue) == ["stays"]
    assert not queue.remove(stays)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 1))))
def test_everyone_is_served_once_and_no_owner_waits_two_turns(arrivals: list[tuple[str, int]]) -> None:
    queue = FairQueue()
    for index, (owner, priority) in enumerate(arrivals):
        queue.push(waiting(str(index), owner, priority))
        assert len(queue) == index + 1
    served = [arrivals[int(name)] for name in names(queue)]
    assert len(queue) == 0
    assert sorted(served) == sorted(arrivals)
    assert [priority for _, priority in served] == sorted((p for _, p in arrivals), reverse=True)
    for level in (-1, 0, 1):
        owners = [owner for owner, priority in served if priority == level]
        for index in range(len(owners) - 1):
            later = owners[index + 1 :]
            assert owners[index] != later[0] or set(later) == {owners[index]}

"""What has followed in other answers: votes, sureness, salts, a table that never grows."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from myna.scheduling.followers import FollowerTable

ALL = 0.0


def learn(table: FollowerTable, tokens: Sequence[int], salt: int = 0) -> None:
    for index in range(len(tokens)):
        table.learn(salt, tokens, index)


def test_the_longest_known_context_decides() -> None:
    table = FollowerTable()
    learn(table, [1, 2, 3, 4])
    learn(table, [9, 3, 5])
    assert table.propose(0, [1, 2, 3], 1, ALL)[0] == [4]
    assert table.propose(0, [7, 9, 3], 1, ALL)[0] == [5]
    assert table.propose(0, [8, 8, 8], 1, ALL) == ([], [])


def test_a_follower_stays_until_another_has_more_votes() -> None:
    table = FollowerTable()
    for token in (5, 5, 6):
        learn(table, [1, token])
    assert table.propose(0, [1], 1, ALL)[0] == [5]
    for _ in range(2):
        learn(table, [1, 6])
    assert table.propose(0, [1], 1, ALL)[0] == [6]


def test_rates_follow_what_is_generated() -> None:
    table = FollowerTable()
    for number in range(100):
        learn(table, [1, 2, 3, 4, 1000 + number])
    _, rates = table.propose(0, [1], 4, ALL)
    assert rates[1] > 0.8  # the 3 after the 2
    assert rates[3] < 0.1  # what follows the 4 is new each time
    assert len(table.propose(0, [1], 4, 0.5)[0]) == 3


def test_nothing_is_learnt_for_another_salt() -> None:
    table = FollowerTable()
    learn(table, [1, 2, 3, 4] * 20, salt=1)
    assert table.propose(2, [1, 2, 3], 4, ALL) == ([], [])


@given(
    answers=st.lists(st.lists(st.integers(0, (1 << 24) - 1) | st.integers(0, 3), max_size=30), max_size=20),
    salt=st.integers(0, 1),
    limit=st.integers(0, 15),
)
def test_any_answers_are_learnt(answers: list[list[int]], salt: int, limit: int) -> None:
    table = FollowerTable()
    for number, answer in enumerate(answers):
        learn(table, answer, number % 2)
    seen = {token for answer in answers for token in answer}
    for answer in answers:
        tokens, rates = table.propose(salt, answer, limit, ALL)
        assert len(tokens) == len(rates) <= limit
        assert seen.issuperset(tokens)
        assert all(0 <= rate <= 1 for rate in rates)


def test_counts_are_bounded() -> None:
    table = FollowerTable()
    for _ in range(1000):
        learn(table, [1, 2])
    assert table.propose(0, [1], 1, ALL)[0] == [2]
    for _ in range(1000):
        learn(table, [1, 3])
    assert table.propose(0, [1], 1, ALL)[0] == [3]

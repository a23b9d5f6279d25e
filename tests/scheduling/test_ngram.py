"""What is guessed of an answer from its prompt, itself and its prediction."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from myna.decoding.prediction import count_accepted
from myna.scheduling.followers import FollowerTable
from myna.scheduling.ngram import NgramProposer, index_ngrams

texts = st.lists(st.integers(0, 5), max_size=40)


class Nothing(FollowerTable):
    """Has learnt from no answer."""

    def learn(self, salt: int, tokens: Sequence[int], index: int) -> None:
        pass


def proposed(prompt: list[int], answer: list[int], prediction: list[int], limit: int) -> list[int]:
    """What repeats, without what has followed in other answers."""
    proposer = NgramProposer(index_ngrams(prompt), len(prompt), prediction, Nothing(), 0)
    tokens = prompt + answer
    proposer.observe(tokens)
    return list(proposer.propose(tokens, limit, 0.0).tokens)


def test_three_tokens_from_the_prompt_continue_as_there() -> None:
    assert proposed([1, 2, 3, 4, 5, 6], [2, 3], [], 4) == []
    assert proposed([1, 2, 3, 4, 5, 6], [9, 2, 3, 4], [], 2) == [5, 6]


def test_the_answer_itself_is_remembered_and_its_last_time_counts() -> None:
    assert proposed([0], [1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3], [], 2) == [8, 1]


def test_a_repetition_goes_on_beyond_what_is_there() -> None:
    assert proposed([0], [1, 2, 3, 4, 1, 2, 3], [], 9) == [4, 1, 2, 3, 4, 1, 2, 3, 4]


def test_a_prediction_is_trusted_from_the_first_token_on() -> None:
    assert proposed([0], [], [5, 6, 7], 2) == [5, 6]
    assert proposed([0], [5, 6, 7], [5, 6, 7], 2) == []


def test_after_a_difference_the_prediction_goes_on_where_the_answer_does() -> None:
    prediction = [1, 2, 3, 4, 5, 6, 7, 8]
    assert proposed([0], [1, 2, 9], prediction, 3) == [3, 4, 5]  # something was put in?
    assert proposed([0], [1, 2, 9, 4], prediction, 3) == [5, 6, 7]  # replaced
    assert proposed([0], [1, 2, 6], prediction, 3) == [7, 8]  # left out


def test_the_nearest_of_equal_places_is_taken_ahead_rather_than_behind() -> None:
    prediction = [1, 9, 2, 1, 9, 3, 1, 9, 4]
    assert proposed([0], [1, 9, 2, 8, 9], prediction, 1) == [3]


def test_what_fails_again_and_again_loses_its_chance() -> None:
    proposer = NgramProposer(index_ngrams([1, 2, 3, 4]), 4, (), Nothing(), 0)
    tokens, acceptance_rates = [1, 2, 3, 4], []
    for other in range(10, 30):
        tokens += [1, 2, 3]
        proposer.observe(tokens)
        acceptance_rates.append(proposer.propose(tokens, 1, 0.0).rates[0])
        tokens += [other]
    assert acceptance_rates[-1] < 0.05 < acceptance_rates[0]


@given(
    prompt=texts, answer=texts, prediction=texts, cuts=st.lists(st.integers(0, 40)), limit=st.integers(0, 9)
)
def test_it_does_not_matter_how_the_tokens_come(
    prompt: list[int], answer: list[int], prediction: list[int], cuts: list[int], limit: int
) -> None:
    tokens = prompt + answer
    proposer = NgramProposer(index_ngrams(prompt), len(prompt), prediction, Nothing(), 0)
    for cut in sorted(cuts):
        proposer.observe(tokens[: len(prompt) + cut])
    proposer.observe(tokens)
    ours = proposer.propose(tokens, limit, 0.0)
    assert list(ours.tokens) == proposed(prompt, answer, prediction, limit)
    assert len(ours.tokens) == len(ours.rates) <= limit
    assert all(0 <= rate <= 1 for rate in ours.rates)


@given(prediction=texts, answer=texts)
def test_no_more_of_a_prediction_is_met_than_there_is(prediction: list[int], answer: list[int]) -> None:
    assert 0 <= count_accepted(prediction, answer) <= min(len(prediction), len(answer))
    assert count_accepted(answer, answer) == len(answer)

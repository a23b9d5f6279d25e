"""The contract of generators, asked of vLLM: see tests/contract/test_answers.py."""

from tests.contract.test_answers import *  # noqa: F403

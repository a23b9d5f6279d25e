"""The contract of generators, asked of vLLM: see tests/contract/test_streams.py."""

from tests.contract.test_streams import *  # noqa: F403

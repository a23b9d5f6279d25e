"""The contract of generators, asked of vLLM: see tests/contract/test_sharing.py."""

from tests.contract.test_sharing import *  # noqa: F403

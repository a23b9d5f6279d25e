"""Continuous batching: a pure scheduler, the loop that runs it in a thread, and its asyncio interface."""

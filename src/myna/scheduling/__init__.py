"""Continuous batching: a pure scheduler, the one loop that owns a thread, and its asyncio face."""

"""Usage: OpenAI's usage and costs, and our own list of requests."""

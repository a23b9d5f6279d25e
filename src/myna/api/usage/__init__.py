"""What was used and what runs now: OpenAI's usage and costs, and our own lists of requests and models."""

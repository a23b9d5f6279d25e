"""Models of other OpenAI-compatible servers, whose requests are relayed."""

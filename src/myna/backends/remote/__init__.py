"""The backend for models of other OpenAI-compatible servers, to which requests are relayed."""

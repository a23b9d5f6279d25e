"""OpenAI's administration API: projects, keys, limits, and the record of what administrators did."""

"""OpenAI's administration API: projects, keys, limits, and audit logs."""

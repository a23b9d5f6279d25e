"""What an OpenAI-compatible server should do, as checks with the official client against a running one."""

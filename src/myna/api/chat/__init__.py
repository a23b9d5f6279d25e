"""The Chat Completions API: messages in, a message out."""

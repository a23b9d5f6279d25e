"""Anthropic's Messages API: content blocks in, a message of content blocks out."""

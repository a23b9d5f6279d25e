"""The Completions API: prompts in, text out."""

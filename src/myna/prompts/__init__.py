"""Text in, text out: GGUF header, tokenizer, chat template."""

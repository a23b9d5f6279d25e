"""The text side of models: GGUF header, tokenizer, chat template, tool calls."""

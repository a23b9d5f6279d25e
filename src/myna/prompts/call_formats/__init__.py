"""How model families write tool calls: one table, each with a grammar and a streaming reader."""

"""The backend of Myna's own workers: GGUF files, each model in a process of its own, on the engines of
`engines.registry`."""

"""The backend of Myna's own workers: GGUF files, each model in its own process, on the engines of
`engines.registry`."""

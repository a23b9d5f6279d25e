"""The backend of vLLM: folders of safetensors, each model in a worker process in vLLM's own environment."""

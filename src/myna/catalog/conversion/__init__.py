"""Models in other formats to GGUF files in the models' folder: safetensors in Hugging Face's layout."""

"""The Embeddings API: texts in, vectors out."""

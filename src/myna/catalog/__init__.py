"""The models that exist, their sources, and which of them are loaded."""

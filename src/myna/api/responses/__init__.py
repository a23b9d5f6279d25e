"""The Responses API: items in, items out."""

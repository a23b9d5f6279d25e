"""The Batch API: create, retrieve, list, cancel."""

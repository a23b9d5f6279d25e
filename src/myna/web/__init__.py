"""The playground and dashboard: static files that call the public API like any other client."""

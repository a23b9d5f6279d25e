"""One file, one store; the only place that knows SQL."""

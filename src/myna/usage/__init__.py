"""Usage of requests: the recorder, metering, the ledger, metrics and tracing."""

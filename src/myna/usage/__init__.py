"""What requests have used: the recorder, metering, the ledger, metrics and tracing."""

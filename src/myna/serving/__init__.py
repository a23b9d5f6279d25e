"""What all endpoints share: errors to HTTP, middleware, generation, metering, streaming."""

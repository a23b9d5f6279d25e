"""The HTTP side of the server: connections, middleware, streaming responses, the access log."""

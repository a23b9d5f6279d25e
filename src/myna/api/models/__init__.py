"""GET /v1/models, GET and DELETE /v1/models/{id}."""

"""A model's own process: client in the server, main in the worker, the frames between them."""

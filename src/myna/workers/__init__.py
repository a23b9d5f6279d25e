"""Worker processes, one per model: the client in the server, main in the worker, the frames between them."""

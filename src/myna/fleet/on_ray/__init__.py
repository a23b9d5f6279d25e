"""The fleet on Ray Serve: the only folder that imports Ray."""

"""A fleet: models on many machines behind any number of servers, on Ray Serve. Only the folder `on_ray`
imports Ray."""
